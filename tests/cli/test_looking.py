"""What there is to look at, and that nothing stands in the way of looking: commands over a simulated target."""

from __future__ import annotations

from tests.cli.programs import Program, tidegate

__all__ = ["tidegate"]


def test_a_resource_is_told_once_and_looked_into_by_its_name(tidegate: Program) -> None:
    """Also where changes that have nothing to do with each other need it; its log and its address are there."""
    shown = tidegate("up", "dev")
    for line in ("orders-db  is started: a resource", "orders-db  starting the resource", "orders-db  is healthy"):
        assert shown.count(line) == 1
    assert tidegate("logs", "-e", "dev", "orders-db").endswith("---\norders-db.0 this is orders-db\n")
    address = tidegate("exec", "--json", "dev", "--", "sh", "-c", "echo $ORDERS_DB_URL")
    assert "postgresql://" in address
    assert "Did you mean tidegate logs -e dev?" in tidegate("logs", "dev", "-e", "dev", status=64)


def test_a_mistake_in_a_component_hides_nothing_that_runs(tidegate: Program) -> None:
    """Whoever is in the middle of writing can look, get out of the middle, and take the environment down."""
    tidegate("up", "dev")
    (tidegate.root / "orders" / "service.yaml").write_text("run: [\n")
    assert "orders/service.yaml:" in tidegate("up", "dev", status=1)
    assert "frontend" in tidegate("status", "dev")
    assert "this is orders" in tidegate("logs", "-e", "dev", "orders")
    assert "dev: nothing to recover" in tidegate("recover", "dev")
    tidegate("run", "dev", "seed")
    assert "nothing runs here" in tidegate("down", "dev", "--yes")
