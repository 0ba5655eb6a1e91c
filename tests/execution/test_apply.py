"""Apply, undo and recovery over the simulated target and a real store."""

from __future__ import annotations

import anyio
import pytest

from tests.execution.places import CHAIN, Environment
from tidegate.errors import ClaimRefused, StalePlan, StepFailed, StoreError
from tidegate.execution import Applied, Executor, Fate, Moment, Progress, Stage
from tidegate.model.step import Observe, Replace, Retire, Start, Step
from tidegate.ports.store import Event

pytestmark = pytest.mark.anyio


async def test_a_first_up_commits_the_first_revision(place: Environment) -> None:
    """Everything runs, the pins are in the store, and the claim is given back."""
    applied = await place.apply(place.chain(1))
    assert applied.succeeded
    assert await place.pins() == place.chain(1)
    assert place.answers("d").keys() == set(CHAIN)
    assert (await place.store.environment("dev")).claims == ()
    assert (await place.plan(place.chain(1))).empty


@pytest.mark.parametrize("kind", [Start, Observe])
@pytest.mark.parametrize("component", CHAIN)
async def test_a_change_that_fails_is_put_back_as_a_whole(place: Environment, kind: type[Step], component: str) -> None:
    """Whichever of four connected components fails, before or after the switch: all four are the old ones again."""
    await place.apply(place.chain(1))
    before = (dict(place.target.groups), dict(place.target.entries))
    place.fail(kind, component)
    applied = await place.apply(place.chain(2))
    (result,) = applied.changes
    assert result.fate is Fate.UNDONE
    assert isinstance(result.failure, StepFailed)
    assert result.failure.component == component
    assert (dict(place.target.groups), dict(place.target.entries)) == before
    assert await place.pins() == place.chain(1)
    assert (await place.store.environment("dev")).claims == ()


async def test_unconnected_changes_fail_alone(place: Environment) -> None:
    """Four products in one push, one of them broken, and three are out."""
    await place.apply(place.chain(1, apart=True))
    place.fail(Start, "b")
    applied = await place.apply(place.chain(2, apart=True))
    assert {r.change.components: r.fate for r in applied.changes} == {
        ("a",): Fate.COMMITTED,
        ("b",): Fate.UNDONE,
        ("c",): Fate.COMMITTED,
        ("d",): Fate.COMMITTED,
    }
    old, new = place.chain(1, apart=True), place.chain(2, apart=True)
    assert await place.pins() == {**new, "b": old["b"]}
    history = await place.store.history("dev")
    assert [older.number for older in history[1:]] == [newer.parent for newer in history[:-1]]


async def test_stopping_puts_back_whatever_is_not_committed(place: Environment) -> None:
    """Ctrl-C in the middle of prepare: the parent is what runs, nothing is left over."""
    await place.apply(place.chain(1))
    before = dict(place.target.groups)
    results: list[Applied] = []

    async def work() -> None:
        results.append(await place.apply(place.chain(2)))

    begun = anyio.Event()

    def duration(step: Step) -> float:
        if isinstance(step, Start):
            begun.set()
            return 3600.0
        return 0.0

    place.target.duration = duration
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await begun.wait()
        place.executor.stop()
    assert results[0].changes[0].fate is Fate.UNDONE
    assert place.target.groups == before


async def test_a_failing_finish_is_reported_and_the_next_recovery_completes_it(place: Environment) -> None:
    """The change is committed; what is left to remove is removed later."""
    await place.apply(place.chain(1))

    def fault(step: Step) -> StepFailed | None:
        return StepFailed("cannot stop", component="a") if isinstance(step, Retire) else None

    place.target.fault = fault
    applied = await place.apply(place.chain(2))
    assert applied.changes[0].fate is Fate.COMMITTED
    assert applied.changes[0].unfinished is not None
    assert await place.pins() == place.chain(2)
    place.target.fault = lambda _: None
    await place.recovered()
    assert {group.born for group in place.target.groups} == {applied.changes[0].change.number}


async def test_a_store_that_fails_at_the_end_of_one_change_leaves_the_others_alone(
    place: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are committed; the one that could not be written down as finished keeps its claim for the next command."""
    await place.apply(place.chain(1, apart=True))
    append = place.store.append

    async def failing(event: Event) -> None:
        if event.kind == "finished" and event.subject == "a":
            raise StoreError("cannot write to the store")
        await append(event)

    monkeypatch.setattr(place.store, "append", failing)
    applied = await place.apply(place.chain(2, apart=True))
    assert [result.fate for result in applied.changes] == [Fate.COMMITTED] * 4
    assert [result.unfinished is not None for result in applied.changes] == [True, False, False, False]
    assert [claim.components for claim in (await place.store.environment("dev")).claims] == [("a",)]


class Died(BaseException):
    """The executor's process is gone: no error handling of it runs."""


class Vanishes:
    """A reporter that ends its executor after some steps have begun."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, progress: Progress) -> None:
        self.left -= progress.moment is Moment.BEGUN
        if self.left < 0 or progress.stage is Stage.DONE:
            raise Died


async def test_recovery_of_a_vanished_executor_goes_back_before_the_commit_and_on_after_it(place: Environment) -> None:
    """At whatever step it vanished: every component is at the parent or at the new revision, all of them alike."""
    await place.apply(place.chain(1))
    steps = len((await place.plan(place.chain(2))).changes[0].steps)
    for vanish in range(steps + 1):
        wanted = place.chain(2 + vanish)
        for each in place.releases.values():
            await place.store.put_release(each)
        dying = Executor(place.store, place.target, holder="here:3:3", by="tests", reporter=Vanishes(vanish))
        with pytest.raises(BaseException):  # noqa: B017, PT011 - it dies in the middle, as it may
            await dying.apply(await place.plan(wanted), place.releases)
        await place.recovered()
        pins = await place.pins()
        assert place.answers("d") == {name: pin.release for name, pin in pins.items()}
        assert len({group.born for group in place.target.groups}) == 1
        assert (await place.plan(pins)).empty


async def test_a_plan_is_refused_when_the_environment_moved_on(place: Environment) -> None:
    """Nothing is changed."""
    await place.apply(place.chain(1))
    stale = await place.plan(place.chain(2))
    await place.apply(place.chain(3))
    seen = len(place.target.seen)
    with pytest.raises(StalePlan):
        await place.executor.apply(stale, place.releases)
    assert len(place.target.seen) == seen


async def test_two_executors_cannot_change_one_component_at_once(place: Environment) -> None:
    """The second is told who holds it."""
    await place.apply(place.chain(1))
    plan = await place.plan(place.chain(2))
    await place.store.put_plan(plan)
    await place.store.claim(plan, holder="elsewhere:9:9", lease=60)
    with pytest.raises(ClaimRefused, match="cannot") as refusal:
        await place.executor.apply(await place.plan(place.chain(3)), place.releases)
    assert "elsewhere" in str(refusal.value)


async def test_every_step_is_journalled_before_and_after(place: Environment) -> None:
    """One journal tells the story in order."""
    applied = await place.apply(place.chain(1))
    events = await place.store.events(environment="dev", plan=applied.plan.digest)
    for planned in applied.plan.changes[0].steps:
        kinds = [event.kind for event in events if event.step == planned.id]
        assert kinds == ["step-begun", "step-done"], planned.id
    assert [event.kind for event in events if not event.step][-1] == "finished"


async def test_an_interruption_is_measured_until_users_have_the_component_again(place: Environment) -> None:
    """Of two that are replaced one after the other the first waits for the second: that counts as well."""
    slow = {
        version: {name: place.pin(name, version, needs, overlap=False) for name, needs in (("a", ()), ("b", ("a",)))}
        for version in (1, 2)
    }
    await place.apply(slow[1])
    place.target.duration = lambda step: 0.1 if isinstance(step, Replace) else 0.0
    await place.apply(slow[2])
    seconds = {event.subject: event.body["seconds"] for event in await place.store.events(kind="interrupted")}
    assert seconds["a"] >= 0.2 > seconds["b"] >= 0.1
