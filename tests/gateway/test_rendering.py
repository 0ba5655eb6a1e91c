"""What tables become, without any gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.worlds import edge, entry, upstream
from tidegate.drivers.local.gateway import Table
from tidegate.drivers.local.gateway.rendering import clusters, listeners, routes
from tidegate.drivers.local.gateway.table import check
from tidegate.errors import GatewayRefused

OLD, NEW, CALLER = upstream("backend", 1, 5001), upstream("backend", 2, 5002), upstream("frontend", 1, 5003)


def _table(to_old: bool) -> Table:
    to = OLD if to_old else NEW
    return Table((OLD, NEW, CALLER), (entry("backend", 4001, to), edge(CALLER, "backend", 4002, to)))


def _listeners(table: Table) -> object:
    return listeners(table, Path("/routes.json"), lambda environment: Path(f"/{environment}.log"))


def test_moving_traffic_changes_the_route_table_and_nothing_else() -> None:
    """A listener that changed would cut its connections; so where it leads is not part of it."""
    assert _listeners(_table(to_old=True)) == _listeners(_table(to_old=False))
    assert clusters(_table(to_old=True)) == clusters(_table(to_old=False))
    assert routes(_table(to_old=True)) != routes(_table(to_old=False))


def test_every_address_is_on_loopback() -> None:
    """Nobody on the network reaches a development environment."""
    rendered = listeners(_table(to_old=True), Path("/routes.json"), lambda _: Path("/log"))
    assert {listener["address"]["socket_address"]["address"] for listener in rendered.values()} == {"127.0.0.1"}


def test_the_order_of_a_table_has_no_meaning() -> None:
    """The same addresses in another order are the same routes."""
    table = _table(to_old=True)
    assert routes(table) == routes(Table(table.upstreams[::-1], table.listeners[::-1]))


def test_only_requests_that_were_never_sent_are_retried() -> None:
    """No condition that could make the gateway send a request twice."""
    (host, *_) = routes(_table(to_old=True))["tidegate"]["virtual_hosts"]
    conditions = host["routes"][0]["route"]["retry_policy"]["retry_on"].split(",")
    assert set(conditions) == {"connect-failure", "refused-stream", "reset-before-request"}


def test_names_are_written_literally() -> None:
    """A percent sign in a name is not taken for a command of the access log."""
    odd = entry("50%REQ(x)%", 4001, None)
    assert "dev/entry/50%%REQ(x)%%" in json.dumps(_listeners(Table((), (odd,))))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (Table((OLD, OLD), ()), "two upstreams are called dev/backend-r1"),
        (Table((), (entry("a", 1, None), entry("A", 2, None))), "two listeners are called dev/entry/a"),
        (Table((), (entry("a", 1, None), entry("b", 1, None))), "two listeners have port 1"),
        (Table((), (entry("a", 1, OLD),)), "dev/entry/a leads to dev/backend-r1, which is not in the table"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(table: Table, reason: str) -> None:
    """Before the gateway hears of it, with all reasons."""
    with pytest.raises(GatewayRefused, match="cannot use this table of addresses") as refused:
        check(table)
    assert refused.value.detail == reason
