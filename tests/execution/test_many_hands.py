"""Several people at one environment: plans that outlive another team's commit, and changes that go in turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.execution.places import CHAIN, Environment
from tidegate.app.carry import carry_over, check_artifacts
from tidegate.app.change import apply
from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.errors import ClaimRefused, StalePlan, StepFailed, UnsafePlan
from tidegate.execution import Fate
from tidegate.model.component import Artifact, Kind
from tidegate.model.digest import short
from tidegate.model.pins import Pins
from tidegate.model.plan import Plan
from tidegate.model.step import Start, Step
from tidegate.planning import Limit, Policy, plan_task

pytestmark = pytest.mark.anyio


def workspace(place: Environment) -> Workspace:
    """As much of a workspace as these functions use."""
    found = SimpleNamespace(store=place.store, target=place.target, project=SimpleNamespace(environments={}))
    found.at = lambda _: found
    return cast("Workspace", found)


async def planned(place: Environment, wanted: Pins) -> Planned:
    """A plan that was made, and shown, and waits for somebody to apply it."""
    for each in place.releases.values():
        await place.store.put_release(each)
    plan = await place.plan(wanted)
    return Planned(plan, await place.pins(), wanted, await place.target.observe("dev"), dict(place.releases))


def pins(place: Environment, *versions: tuple[str, int]) -> Pins:
    """Services that have nothing to do with each other, but `front` needs `back`."""
    return {name: place.pin(name, version, ("back",) if name == "front" else ()) for name, version in versions}


async def test_a_plan_is_carried_over_a_commit_that_did_not_touch_it(place: Environment) -> None:
    """Both teams' changes are in, in one line, and the intent that was approved is the one that was applied."""
    await place.apply(pins(place, ("one", 1), ("two", 1)))
    mine = await planned(place, pins(place, ("one", 2), ("two", 1)))
    await place.apply(pins(place, ("one", 1), ("two", 2)))
    applied = await apply(workspace(place), place.executor, mine)
    assert applied.plan.changes[0].intent == mine.plan.changes[0].intent
    assert applied.plan.parent > mine.plan.parent
    assert await place.pins() == pins(place, ("one", 2), ("two", 2))
    history = await place.store.history("dev")
    assert [older.number for older in history[1:]] == [newer.parent for newer in history[:-1]]


@pytest.mark.parametrize("other", ["back", "front"])
async def test_a_plan_is_refused_when_its_component_or_a_neighbour_was_touched(place: Environment, other: str) -> None:
    """Who, when and what."""
    await place.apply(pins(place, ("back", 1), ("front", 1)))
    mine = await planned(place, pins(place, ("back", 2), ("front", 1)))
    theirs = dict(pins(place, ("back", 1), ("front", 1)), **pins(place, (other, 3)))
    await place.apply(theirs)
    with pytest.raises(StalePlan) as refusal:
        await carry_over(workspace(place), mine, Policy())
    head = (await place.store.environment("dev")).head
    assert f"dev@{head} by tests at" in refusal.value.detail
    assert f"changed {other}" in refusal.value.detail
    assert await place.pins() == theirs


async def test_going_back_to_a_release_that_was_pruned_is_refused_by_name(place: Environment) -> None:
    """Which release of which component, from which commit, and how to have it again."""
    await place.apply(pins(place, ("one", 1)))
    back = await planned(place, pins(place, ("one", 2)))
    digest = pins(place, ("one", 2))["one"].release
    artifact = Artifact("sha256:a", digest, "tree", "linux-x86_64", "/somewhere")
    await place.store.put_artifact(artifact)
    await check_artifacts(workspace(place), back)
    await place.store.forget_artifact(artifact)
    with pytest.raises(UnsafePlan, match=f"cannot start release {short(digest)} of one") as refusal:
        await check_artifacts(workspace(place), back)
    assert "pruned" in refusal.value.detail
    assert "tidegate release" in refusal.value.hint


async def test_what_somebody_else_is_changing_is_left_alone(place: Environment) -> None:
    """In the middle of their change it looks odd; that is theirs."""
    await place.apply(pins(place, ("one", 1), ("two", 1)))
    mine = await place.plan(pins(place, ("one", 2), ("two", 1)))
    await place.store.put_plan(mine)
    await place.store.claim(mine, holder="elsewhere:9:9", lease=60)
    (change,) = mine.changes
    started = next(each.step for each in change.steps if isinstance(each.step, Start))
    place.target.take(started, "dev")
    applied = await place.apply(pins(place, ("one", 1), ("two", 2)), held={"one"})
    assert [result.change.components for result in applied.changes] == [("two",)]
    assert applied.succeeded


async def test_a_neighbour_of_a_change_under_way_cannot_be_changed(place: Environment) -> None:
    """Its wires are being moved."""
    await place.apply(pins(place, ("back", 1), ("front", 1)))
    mine = await place.plan(pins(place, ("back", 2), ("front", 1)))
    await place.store.put_plan(mine)
    await place.store.claim(mine, holder="elsewhere:9:9", lease=60)
    with pytest.raises(ClaimRefused, match="cannot change dev") as refusal:
        await place.apply(pins(place, ("back", 1), ("front", 2)))
    assert "elsewhere" in refusal.value.detail


async def test_a_change_that_is_too_large_goes_in_waves_and_is_undone_as_one(place: Environment) -> None:
    """Four services of two instances each, room for four: two waves, one revision; a failure in the second puts all
    four back."""
    limit = Limit(instances=4)
    await place.apply(place.chain(1))
    place.fail(Start, "d")
    failed = await place.apply(place.chain(2), limit=limit)
    (result,) = failed.changes
    assert (result.change.waves, result.change.peak_instances) == (2, 4)
    assert result.fate is Fate.UNDONE
    assert place.answers("d") == {name: pin.release for name, pin in place.chain(1).items()}
    assert (await place.plan(place.chain(1))).empty
    place.target.fault = lambda _: None
    done = await place.apply(place.chain(2), limit=limit)
    assert done.succeeded
    assert place.answers("d") == {name: pin.release for name, pin in place.chain(2).items()}
    assert len(await place.store.history("dev")) == 2


async def test_changes_that_have_no_room_at_once_take_turns(place: Environment) -> None:
    """One that fails does not keep the next from its turn."""
    await place.apply(place.chain(1, apart=True))
    most = 8

    def fault(step: Step) -> StepFailed | None:
        running = sum(len(group.instances) for group in place.target.groups.values())
        assert running <= most + 4
        failing = isinstance(step, Start) and step.group.component == "a"
        return StepFailed("cannot start a", component="a") if failing else None

    place.target.fault = fault
    applied = await place.apply(place.chain(2, apart=True), limit=Limit(instances=4))
    assert [result.change.turn for result in applied.changes] == [0, 0, 1, 1]
    assert [result.fate for result in applied.changes] == [Fate.UNDONE] + [Fate.COMMITTED] * 3


async def test_one_component_that_has_no_room_is_refused(place: Environment) -> None:
    """With what would help. What comes to stay needs no such room."""
    await place.apply(place.chain(1), limit=Limit(instances=1))
    with pytest.raises(UnsafePlan, match="max_extra") as refusal:
        await place.plan(place.chain(2), limit=Limit(instances=1))
    assert "overlap: false" in refusal.value.hint


async def test_what_the_machine_cannot_hold_is_refused(place: Environment) -> None:
    """Memory is known from what runs."""
    await place.apply(place.chain(1))
    place.target.weigh(100 << 20)
    place.target.memory_free = 500 << 20
    with pytest.raises(UnsafePlan, match="800 MB more") as refusal:
        await place.plan(place.chain(2))
    assert "max_extra" in refusal.value.hint
    place.target.memory_free = 900 << 20
    assert (await place.plan(place.chain(2))).changes[0].peak_memory == 800 << 20


async def test_a_task_runs_each_time_it_is_asked_for_and_never_twice_at_once(place: Environment) -> None:
    """It is pinned like everything else, and starts nothing by itself."""
    await place.apply({**place.chain(1, CHAIN[:1]), "seed": place.pin("seed", 1, ("a",), Kind.TASK)})
    assert place.target.ran == []
    first = await task_plan(place, "seed")
    await place.store.put_plan(first)
    (claim,) = await place.store.claim(first, holder="elsewhere:9:9", lease=60)
    with pytest.raises(ClaimRefused):
        await place.executor.apply(await task_plan(place, "seed"), place.releases)
    await place.store.release_claim(claim)
    before = await place.pins()
    for _ in range(2):
        assert (await place.executor.apply(await task_plan(place, "seed"), place.releases)).succeeded
    assert place.target.ran == ["x", "x"]
    assert await place.pins() == before


async def test_a_task_that_was_planned_beside_a_commit_still_runs(place: Environment) -> None:
    """Carried over, not lost."""
    await place.apply({**place.chain(1, CHAIN[:1]), "seed": place.pin("seed", 1, (), Kind.TASK)})
    plan = await task_plan(place, "seed")
    mine = Planned(plan, await place.pins(), await place.pins(), place.target.look("dev"), dict(place.releases))
    await place.apply({**await place.pins(), **place.chain(2, CHAIN[:1])})
    assert (await apply(workspace(place), place.executor, mine)).succeeded
    assert place.target.ran == ["x"]


async def task_plan(place: Environment, task: str) -> Plan:
    """Run it once, as it is pinned."""
    record = await place.store.environment("dev")
    pin = (await place.pins())[task]
    return plan_task(
        environment="dev",
        parent=record.head,
        number=record.next_number,
        component=task,
        pin=pin,
        needs=place.releases[pin.release].runtime.needs,
        observed=place.target.look("dev"),
    )
