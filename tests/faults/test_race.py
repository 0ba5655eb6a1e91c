"""Many operators at one environment, each a process: one line of revisions, and whoever loses is told why."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from tests.execution.places import Environment, Still
from tests.faults.forks import ended, fork
from tests.faults.kept import KeptTarget
from tests.faults.rest import check_observed
from tests.faults.scenes import Hands, Work
from tests.planning.worlds import release
from tests.postgres import Postgres
from tidegate.app.change import apply
from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.composition import SystemClock
from tidegate.errors import ClaimRefused, StalePlan, UnsafePlan
from tidegate.execution import Executor, Fate
from tidegate.model.component import Release
from tidegate.model.holder import holder_of
from tidegate.model.observed import Observed
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.model.plan import Change
from tidegate.model.step import Retire, Start, Step
from tidegate.planning import Policy, make_plan
from tidegate.stores.sql import SqlStore

NEEDS = {"a": (), "b": ("a",), "c": ("b",), "d": (), "e": ("d",), "f": ("a", "d")}
VERSIONS = range(1, 31)
UNSEEN = "what is there now needs another one"  # somebody came and went, and left no revision that could be named
BROKEN = 7  # each so-manieth version answers 5xx to everything


def works() -> Work:
    """Six components that depend on each other, in many versions."""
    releases: dict[str, Release] = {}
    versions: dict[int, dict[str, Pin]] = {}
    for version in VERSIONS:
        made = {name: release(name, version, needs) for name, needs in NEEDS.items()}
        releases |= {each.digest: each for each in made.values()}
        versions[version] = {name: Pin(each.digest, "", Shape()) for name, each in made.items()}
    return Work(versions, releases)


@dataclass(frozen=True)
class Arena:
    """What all operators share; `notes` is a folder in which each of them writes down what became of its rounds."""

    store: str
    target: Path
    notes: Path
    work: Work

    def open(self) -> tuple[SqlStore, KeptTarget]:
        """As a process of its own has them."""
        target = KeptTarget(self.target, self.work.releases)
        broken = [pins for version, pins in self.work.versions.items() if version % BROKEN == 0]
        target.broken = {pin.release for pins in broken for pin in pins.values()}
        return SqlStore.open(self.store, SystemClock()), target


class Operator:
    """One process, one person."""

    def __init__(self, arena: Arena, name: str) -> None:
        self.arena = arena
        self.name = name
        self.chance = random.Random(name)

    async def rounds(self, number: int) -> None:
        """So many changes, one after the other."""
        store, target = self.arena.open()
        hands = Hands(store, target, self.arena.work.releases, holder_of(self.name, os.getpid(), 0.0), observe=1)
        with (self.arena.notes / self.name).open("w") as notes:
            for count in range(number):
                notes.write(json.dumps(await self.round(hands, f"round {count}")) + "\n")
        await store.close()

    async def round(self, hands: Hands, why: str) -> dict[str, object]:
        """What became of one change."""
        try:
            wanted = await self.wish(hands)
            plan = await hands.plan(wanted)
            observed = await hands.target.observe("dev")
            planned = Planned(plan, await hands.pins(), wanted, observed, self.arena.work.releases)
            executor = Executor(hands.store, hands.target, holder=hands.holder, by=self.name, reporter=lambda _: None)
            applied = await apply(_workspace(hands), executor, planned, why=why)
        except UnsafePlan as error:
            return {"refused": "unsafe", "text": str(error)}
        except (ClaimRefused, StalePlan) as error:
            return {"refused": type(error).__name__, "text": str(error)}
        return {
            "fates": [result.fate for result in applied.changes],
            "made": [result.revision.number for result in applied.changes if result.revision],
            "left": [str(result.unfinished) for result in applied.changes if result.unfinished],
        }

    async def wish(self, hands: Hands) -> Pins:
        """New versions of some components, or some of them gone, or what was there some time ago."""
        pins = dict(await hands.pins())
        chosen = self.chance.sample(sorted(NEEDS), self.chance.randint(1, 3))
        match self.chance.choices(["up", "away", "back"], [6, 1, 2])[0]:
            case "up":
                version = self.chance.choice(VERSIONS)
                return pins | {name: self.arena.work.versions[version][name] for name in chosen}
            case "away":
                return {name: pin for name, pin in pins.items() if name != chosen[0]}
            case _:
                history = await hands.store.history("dev", limit=8)
                return self.chance.choice(history).pins if history else pins


def _workspace(hands: Hands) -> Workspace:
    """As much of a workspace as `apply` uses."""
    found = SimpleNamespace(store=hands.store, target=hands.target, project=SimpleNamespace(environments={}))
    found.at = lambda _: found
    return cast("Workspace", found)


def race(arena: Arena, operators: int, rounds: int, patience: int) -> Mapping[str, list[dict[str, object]]]:
    """What each operator wrote down."""
    names = [f"operator{place}" for place in range(operators)]

    async def begin() -> None:
        store, target = arena.open()
        for each in arena.work.releases.values():
            await store.put_release(each)
        hands = Hands(store, target, arena.work.releases, holder_of("first", os.getpid(), 0.0))
        assert (await hands.apply(arena.work.versions[1])).succeeded
        await store.close()

    anyio.run(begin)
    pids = [fork(lambda name=name: Operator(arena, name).rounds(rounds), patience=patience) for name in names]  # type: ignore[misc]
    assert [ended(pid) for pid in pids] == [0] * operators, "stuck, or worse"
    return {name: [json.loads(line) for line in (arena.notes / name).read_text().splitlines()] for name in names}


async def check_line(arena: Arena, notes: Mapping[str, list[dict[str, object]]]) -> None:
    """Revisions stand on each other; each says what its change said; each operator's commits are all there; and what
    is there is the head."""
    store, target = arena.open()
    hands = Hands(store, target, arena.work.releases, "last:1:1", vanished=lambda _: False)
    assert (await store.environment("dev")).claims == ()
    await hands.recover()
    history = await store.history("dev", limit=10_000)
    assert len({revision.number for revision in history}) == len(history)
    assert [revision.parent for revision in history] == [*(older.number for older in history[1:]), 0]
    made = Counter(event.body["number"] for event in await store.events(kind="committed", limit=10_000))
    assert made == Counter(revision.number for revision in history), "a revision is beside the line"
    pins: Pins = {}
    for revision in reversed(history):
        plan = await store.plan(revision.plan)
        (change,) = [change for change in plan.changes if change.number == revision.number]
        pins = _changed(pins, change)
        assert pins == revision.pins
    for name, rounds in notes.items():
        own = {revision.number for revision in history if revision.by == name}
        assert own == {number for each in rounds for number in cast("list[int]", each.get("made", []))}
    committed = {pin.release for revision in history for pin in revision.pins.values()}
    check_observed(await target.observe("dev"), pins, arena.work, committed)
    assert (await hands.plan(pins)).empty
    await store.close()


def _changed(pins: Pins, change: Change) -> Pins:
    new = {entry.component: entry.new for entry in change.pins}
    for entry in change.pins:
        assert pins.get(entry.component) == entry.old, "somebody else's change was overwritten"
    return {name: pin for name, pin in {**pins, **new}.items() if pin is not None}


def check_told(notes: Mapping[str, list[dict[str, object]]]) -> Counter[str]:
    """Every round came to a known end; a refusal says who, and about what. How often which."""
    found: Counter[str] = Counter()
    for name, rounds in notes.items():
        for each in rounds:
            if "refused" not in each:
                fates = cast("list[str]", each["fates"])
                assert set(fates) <= {Fate.COMMITTED, Fate.UNDONE}, each
                assert each["left"] == []
                found.update(fates or ["nothing to do"])
                continue
            kind, text = str(each["refused"]), str(each["text"])
            found[kind] += 1
            if kind != "unsafe" and UNSEEN not in text:
                others = [other for other in (*notes, "tests") if other != name]
                assert any(other in text for other in others), f"{name} is not told who: {text}"
                assert any(f"{component}" in text for component in NEEDS), text
    return found


EXHAUSTIVE = pytest.mark.exhaustive
MANY = [pytest.param((2, 250), marks=EXHAUSTIVE), pytest.param((5, 100), marks=EXHAUSTIVE)]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=EXHAUSTIVE)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that nobody opened yet."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.mark.parametrize("hands", [(2, 20), (5, 12), *MANY])
def test_operators_who_race_make_one_line_and_every_loser_is_told(
    where: str, hands: tuple[int, int], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Up, away and back, of components that overlap and need each other; some releases are broken."""
    operators, rounds = hands
    notes = tmp_path / "notes"
    notes.mkdir()
    arena = Arena(where, tmp_path / "target", notes, works())
    told = race(arena, operators, rounds, patience=60 + rounds * operators)
    anyio.run(check_line, arena, told)
    record_property(f"tried: race of {operators} operators, rounds", operators * rounds)
    record_property(f"tried: race of {operators} operators, commits", check_told(told)[Fate.COMMITTED])


@pytest.mark.anyio
async def test_a_plan_that_counts_on_what_others_were_removing_is_made_again(tmp_path: Path) -> None:
    """It was made while somebody finished: the old groups were still there, and seemed fit to go back to."""
    store = SqlStore.open(tmp_path / "store.db", Still())
    place = Environment(store, Still())
    await place.apply(place.chain(1))
    seen: list[Observed] = []

    def look(step: Step) -> None:
        if isinstance(step, Retire) and not seen:
            seen.append(place.target.look("dev"))

    place.target.fault = look
    await place.apply(place.chain(2))
    head = (await store.environment("dev")).head
    pins = await place.pins()
    plan = make_plan(
        environment="dev",
        parent=head,
        number=head + 1,
        current=pins,
        wanted=place.chain(1),
        observed=seen[0],
        releases=place.releases,
        policy=Policy(),
    )
    assert not any(isinstance(each.step, Start) for change in plan.changes for each in change.steps)
    planned = Planned(plan, pins, place.chain(1), seen[0], place.releases)
    applied = await apply(_workspace(Hands(store, place.target, place.releases, "")), place.executor, planned)
    assert applied.succeeded
    assert place.answers("d") == {name: pin.release for name, pin in place.chain(1).items()}
    assert (await place.plan(place.chain(1))).empty
    await store.close()
