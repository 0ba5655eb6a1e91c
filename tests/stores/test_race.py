"""Many hands at one store: real processes, whose changes overlap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.stores.racing import let_go, racer
from tidegate.ports.store import Event, Store
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("postgresql")]
OPERATORS = ("first", "second", "third", "fourth")
TIMES = 10


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that nobody opened yet."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


async def test_of_many_that_claim_at_the_same_moment_one_gets_it(where: str) -> None:
    """Three processes, and the store is new to all of them; the others are told, and nothing is torn."""
    said = let_go([racer(where, "claim") for _ in range(3)])
    assert sorted(said) == ["claimed", "refused", "refused"]


async def test_overlapping_changes_of_many_make_one_line_and_every_loser_is_told_who_won(where: str) -> None:
    """Each revision stands on another and holds what one operator wanted; none is lost, no two were at it at once."""
    said = let_go([racer(where, "race", operator, str(TIMES)) for operator in OPERATORS])
    store = SqlStore.open(where, StillClock())
    await check_line(store)
    check_turns(await store.events(limit=10_000))
    await store.close()
    refusals = {operator: json.loads(told) for operator, told in zip(OPERATORS, said, strict=True)}
    for operator, told in refusals.items():
        others = [other for other in OPERATORS if other != operator]
        for refusal in told:
            assert any(other in refusal.lower() for other in others), refusal


async def check_line(store: Store) -> None:
    """One line, in which each operator's changes stand in its order, whole."""
    record = await store.environment("dev")
    assert record.claims == ()
    history = await store.history("dev", limit=1000)
    assert len(history) == len({revision.number for revision in history}) == len(OPERATORS) * TIMES
    assert [revision.parent for revision in history] == [*(r.number for r in history[1:]), 0]
    before: dict[str, object] = {}
    order: dict[str, list[str]] = {}
    for revision in reversed(history):
        changed = {name for name, pin in revision.pins.items() if before.get(name) != pin}
        assert {revision.pins[name].shape.env for name in changed} == {(("BY", revision.by), ("TIME", revision.why))}
        assert (len(changed), before.keys() - revision.pins.keys()) == (2, set())
        order.setdefault(revision.by, []).append(revision.why)
        before = dict(revision.pins)
    assert order == {operator: [str(place) for place in range(TIMES)] for operator in OPERATORS}


def check_turns(journal: Sequence[Event]) -> None:
    """While somebody changed a component, nobody else changed it or leant on it."""
    at_it: dict[int, Event] = {}
    for event in journal:
        if event.kind == "ended":
            del at_it[event.epoch]
        elif event.kind == "begun":
            changed, leant = set(event.body["changed"]), {event.body["neighbour"]}
            for other in at_it.values():
                others = set(other.body["changed"])
                assert not changed & (others | {other.body["neighbour"]})
                assert not leant & others
            at_it[event.epoch] = event
    assert at_it == {}
