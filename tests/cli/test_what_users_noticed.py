"""What the screens say of changes that users noticed, or that are not over when they are committed."""

from __future__ import annotations

from tests.cli.programs import Program, tidegate
from tidegate.errors import StepFailed
from tidegate.model.step import Provide

__all__ = ["tidegate"]


def test_a_migration_that_fails_after_the_commit_says_why_at_once(tidegate: Program) -> None:
    """Users have the new releases, and the screen says which migration it was, with what it printed."""
    manifest = tidegate.root / "orders" / "service.yaml"
    manifest.write_text(manifest.read_text().replace("before: python3 -m orders.migrate", "after: ./contract"))
    tidegate.target.failing.add("./contract")
    said = tidegate("up", "dev", status=1).partition("frontend, orders committed, but not finished")[2]
    assert "cannot run ./contract" in said
    assert "It ended with 1." in said
    assert "tidegate recover dev" in said


def test_a_resource_that_could_not_be_changed_was_interrupted(tidegate: Program) -> None:
    """The screen does not say that nobody noticed, and that it runs as before."""
    tidegate("up", "dev")
    file = tidegate.root / "tidegate.yaml"
    file.write_text(file.read_text().replace("postgres -D", "postgres -F -D"))
    tidegate.target.fault = lambda step: (
        StepFailed("cannot provide it") if isinstance(step, Provide) and "-F" in step.spec.run else None
    )
    said = tidegate("up", "dev", status=1)
    assert "orders-db is interrupted" in said
    assert "nobody served as orders-db until the old one ran again" in said
    assert "were not affected" not in said
