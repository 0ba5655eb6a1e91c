"""When a change can neither be finished nor be undone: nothing new is accepted, and people decide."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.text import Text

from tests.execution.places import Environment
from tidegate.app.hanging import claim_status
from tidegate.app.inspect import EnvironmentStatus, RunStatus
from tidegate.cli.views.hanging import claim_lines, ways_out
from tidegate.cli.views.listing import Fields
from tidegate.errors import ClaimRefused, RunInterrupted, StepFailed, TargetUnreachable, UsageError
from tidegate.execution import ChangeResult, Executor, Fate, Moment, Progress
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import Hook, Kind, RunKind
from tidegate.model.observed import RunState
from tidegate.model.pins import Pins
from tidegate.model.step import Replace, Run, Start, Step

pytestmark = pytest.mark.anyio


NEW = GroupAddress("dev", "w", 3)


async def unsettled(place: Environment) -> ChangeResult:
    """A change of a worker that hangs; `a` beside it has nothing to do with it."""
    await place.apply(pins(place, 1))

    def fault(step: Step) -> StepFailed | None:
        if not isinstance(step, Replace):
            return None
        if step.group == NEW:
            place.target.take(step, "dev")  # its instances did start
        return StepFailed("cannot start w", "As scripted.", component="w")

    place.target.fault = fault
    applied = await place.apply({**pins(place, 1), "w": pins(place, 2)["w"]})
    (result,) = applied.changes
    return result


def pins(place: Environment, version: int) -> Pins:
    return {"a": place.pin("a", version), "w": place.pin("w", version, kind=Kind.WORKER)}


async def test_a_change_whose_undo_fails_is_unsettled_and_only_its_components_are_closed(place: Environment) -> None:
    """The store says why; others go on; a further change of the worker is refused with the ways out."""
    result = await unsettled(place)
    assert result.fate is Fate.UNSETTLED
    (claim,) = (await place.store.environment("dev")).claims
    assert "As scripted" in claim.unsettled
    applied = await place.apply({**await place.pins(), "a": pins(place, 2)["a"]}, held={"w"})
    assert [each.fate for each in applied.changes] == [Fate.COMMITTED]
    with pytest.raises(ClaimRefused) as refusal:
        await place.apply({**await place.pins(), "w": pins(place, 3)["w"]})
    for way in ("tidegate resume dev", "tidegate undo dev", "tidegate abandon dev"):
        assert way in str(refusal.value)


async def test_an_unsettled_change_tells_each_step_that_was_done_and_undone(place: Environment) -> None:
    """Forward and back, with what failed."""
    await unsettled(place)
    (claim,) = (await place.store.environment("dev")).claims
    steps = (await claim_status(place.store, claim)).steps
    states = {(step.id, step.undo): step.state for step in steps}
    assert states["prepare:w", False] == "done"
    assert states["start:w-r3", False] == "failed"
    assert states["start:w-r2", True] == "failed"
    assert states["retire:w-r3", True] == "waiting"
    assert all(step.text for step in steps)


async def test_undo_settles_it_when_the_cause_is_gone(place: Environment) -> None:
    """Back at the parent."""
    await unsettled(place)
    place.target.fault = lambda _: None
    assert [claim.components for claim in await place.recovery.undo("dev", {})] == [("w",)]
    assert await place.pins() == pins(place, 1)
    await settled(place)


async def test_resume_settles_it_forward(place: Environment) -> None:
    """The revision that was promised is made after all, with what was said of it then."""
    await unsettled(place)
    place.target.fault = lambda _: None
    await place.recovery.resume("dev", {})
    assert (await place.pins())["w"] == pins(place, 2)["w"]
    assert (await place.store.history("dev"))[0].number == 3
    await settled(place)


async def test_abandon_records_what_is_observed(place: Environment) -> None:
    """What answers is what is pinned from now on, with the reason."""
    await unsettled(place)
    await place.recovery.abandon("dev", "the disk is gone")
    assert (await place.pins())["w"] == pins(place, 2)["w"]
    assert (await place.store.history("dev"))[0].why == "the disk is gone"
    place.target.fault = lambda _: None
    assert (await place.store.environment("dev")).claims == ()
    await place.apply(await place.pins())
    await settled(place)


async def test_recovery_by_others_leaves_an_unsettled_change_alone_but_not_by_hand(place: Environment) -> None:
    """A command that wants something else does not try again; `tidegate recover` does, and tells what prevents it."""
    await unsettled(place)
    assert await place.recovery.recover("dev", by_hand=False) == []
    with pytest.raises(StepFailed, match="cannot start w"):
        await place.recovery.recover("dev", by_hand=True)
    assert (await place.store.environment("dev")).claims[0].unsettled
    place.target.fault = lambda _: None
    await place.recovery.recover("dev", by_hand=True)
    await settled(place)


async def test_a_way_out_that_cannot_be_taken_leaves_the_change_to_people(place: Environment) -> None:
    """The target cannot be seen when somebody answers: nobody else goes on by himself afterwards."""
    await unsettled(place)
    place.target.unreachable = True
    with pytest.raises(TargetUnreachable):
        await place.recovery.undo("dev", {"w": True})
    assert (await place.store.environment("dev")).claims[0].unsettled


async def test_there_is_nothing_to_settle_where_nothing_hangs(place: Environment) -> None:
    """Said plainly."""
    await place.apply(pins(place, 1))
    with pytest.raises(UsageError, match="hangs"):
        await place.recovery.resume("dev", {})


async def settled(place: Environment) -> None:
    """No claim is left, and what runs is what is pinned."""
    assert (await place.store.environment("dev")).claims == ()
    assert (await place.plan(await place.pins())).empty


# Migrations


def migrating(place: Environment, version: int, **more: object) -> Pins:
    before = Hook(f"expand {version}", **more)  # type: ignore[arg-type]
    return {"a": place.pin("a", version, before=before, after=Hook(f"contract {version}"))}


async def test_a_migration_runs_before_the_new_instances_and_the_contracting_one_when_the_old_are_gone(
    place: Environment,
) -> None:
    """Each once for the release; a further `up` of the same runs nothing."""
    await place.apply(migrating(place, 1))
    applied = await place.apply(migrating(place, 2))
    assert place.target.ran == ["expand 1", "contract 1", "expand 2", "contract 2"]
    seen = [type(step).__name__ for step in place.target.seen[-7:]]
    assert seen.index("Run") < seen.index("Start") < seen.index("Route") < seen.index("Retire") < len(seen) - 1
    assert seen[-1] == "Run"
    assert applied.changes[0].change.irreversible == ("`before` of a: expand 2", "`after` of a: contract 2")
    assert (await place.plan(migrating(place, 2))).empty


async def test_a_failing_migration_undoes_its_change(place: Environment) -> None:
    """Users keep what they had; what can be taken back is."""
    await place.apply(migrating(place, 1))
    place.target.failing.add("expand 2")
    applied = await place.apply(migrating(place, 2, undo="shrink 2"))
    assert applied.changes[0].fate is Fate.UNDONE
    assert place.target.ran[2:] == ["expand 2", "shrink 2"]
    assert await place.pins() == migrating(place, 1)
    await settled(place)


async def test_a_change_that_fails_after_its_migration_takes_it_back_once_nothing_new_runs(place: Environment) -> None:
    """`undo:` comes last."""
    await place.apply(migrating(place, 1))
    place.fail(Start, "a")
    await place.apply(migrating(place, 2, undo="shrink 2"))
    assert place.target.ran[2:] == ["expand 2", "shrink 2"]
    await settled(place)


class Died(BaseException):
    """The executor's process is gone."""


async def die_in_migration(place: Environment, wanted: Pins) -> RunAddress:
    """Let the executor and the migration end in the middle of it."""

    def report(progress: Progress) -> None:
        if progress.step and isinstance(progress.step.step, Run) and progress.moment is Moment.DONE:
            raise Died

    for each in place.releases.values():
        await place.store.put_release(each)
    dying = Executor(place.store, place.target, holder="here:3:3", by="tests", reporter=report)
    with pytest.raises(BaseException):  # noqa: B017, PT011
        await dying.apply(await place.plan(wanted), place.releases)
    run = RunAddress("dev", "a", wanted["a"].release, RunKind.BEFORE)
    place.target.interrupt(run)
    place.clock.moment += 3600
    return run


@pytest.mark.parametrize("undo", ["shrink 2", None])
async def test_a_migration_ended_in_the_middle_asks_its_question(place: Environment, undo: str | None) -> None:
    """Recovery does not guess, even where nothing else is to be put back: the change is unsettled until somebody says
    what became of it."""
    await place.apply(migrating(place, 1))
    await die_in_migration(place, migrating(place, 2, undo=undo))
    with pytest.raises(RunInterrupted, match="cannot go on with a") as question:
        await place.recovery.recover("dev", by_hand=False)
    assert "--ran a" in question.value.hint
    assert (await place.store.environment("dev")).claims[0].unsettled


@pytest.mark.parametrize(("ran", "commands"), [(True, ["contract 2"]), (False, ["expand 2", "contract 2"])])
async def test_the_answer_decides_whether_it_runs_again_on_the_way_forward(
    place: Environment, ran: bool, commands: list[str]
) -> None:
    """It ran: go on from there. It did not: run it."""
    await place.apply(migrating(place, 1))
    await die_in_migration(place, migrating(place, 2))
    place.target.ran.clear()
    await place.recovery.resume("dev", {"a": ran})
    assert place.target.ran == commands
    assert await place.pins() == migrating(place, 2)
    await settled(place)


@pytest.mark.parametrize(("ran", "commands"), [(True, ["shrink 2"]), (False, [])])
async def test_the_answer_decides_whether_it_is_taken_back_on_the_way_back(
    place: Environment, ran: bool, commands: list[str]
) -> None:
    """It ran: take it back. It did not: there is nothing to take back."""
    await place.apply(migrating(place, 1))
    await die_in_migration(place, migrating(place, 2, undo="shrink 2"))
    place.target.ran.clear()
    await place.recovery.undo("dev", {"a": ran})
    assert place.target.ran == commands
    assert await place.pins() == migrating(place, 1)
    await settled(place)


async def test_an_answer_is_about_the_migration_that_hangs_and_no_other(place: Environment) -> None:
    """A release whose migration failed some other time runs it when it comes again."""
    await place.apply(migrating(place, 1))
    place.target.failing.add("expand 2")
    await place.apply(migrating(place, 2))
    place.target.failing.clear()
    await die_in_migration(place, migrating(place, 3))
    await place.recovery.resume("dev", {"a": True})
    place.target.ran.clear()
    await place.apply(migrating(place, 2))
    assert place.target.ran == ["expand 2", "contract 2"]


async def test_an_answer_and_a_choice_about_what_does_not_hang_are_refused(place: Environment) -> None:
    """They name what does, and nothing is taken over."""
    await unsettled(place)
    (claim,) = (await place.store.environment("dev")).claims
    with pytest.raises(UsageError, match=r"cannot take an answer for a\b.*\n?.*is w"):
        await place.recovery.undo("dev", {"a": True})
    with pytest.raises(UsageError, match=r"cannot find a change of a that hangs in dev.*\n?.*is w"):
        await place.recovery.undo("dev", {}, ["a"])
    assert (await place.store.environment("dev")).claims == (claim,)


async def test_a_migration_that_may_be_retried_asks_nothing(place: Environment) -> None:
    """`retry: true`: recovery goes back, and the next `up` runs it again."""
    await place.apply(migrating(place, 1))
    wanted = migrating(place, 2, retry=True)
    await die_in_migration(place, wanted)
    await place.recovered()
    await place.apply(wanted)
    assert place.target.ran[-2:] == ["expand 2", "contract 2"]
    await settled(place)


async def test_a_contraction_that_fails_again_has_no_way_back_and_may_be_said_to_be_done(place: Environment) -> None:
    """The ways out are those that there are after a commit."""
    await place.apply(migrating(place, 1))
    place.target.failing.add("contract 2")
    await place.apply(migrating(place, 2))
    with pytest.raises(StepFailed):
        await place.recovery.recover("dev", by_hand=True)
    (held,) = (await place.store.environment("dev")).claims
    claim = await claim_status(place.store, held)
    (run,) = (run for run in place.target.runs.values() if run.state is RunState.FAILED)
    runs = (RunStatus(run.address.name, "a", "after", "failed", 1),)
    text = "\n".join(str(line) for line in claim_lines(EnvironmentStatus("dev", "dev@2", runs=runs), claim))
    assert "is committed, and could not be finished" in text
    ways = ways_out(EnvironmentStatus("dev", "dev@2", runs=runs), claim)
    assert [command.partition(" --because")[0] for command in commands(ways)] == [
        "tidegate resume dev",
        "tidegate resume dev --ran a",
        "tidegate abandon dev",
    ]
    await place.recovery.resume("dev", {"a": True})
    await settled(place)


def commands(ways: Sequence[Text | Fields]) -> list[str]:
    return [str(value) for fields in ways if isinstance(fields, Fields) for _, value in fields.rows]


async def test_a_failing_contraction_is_reported_and_can_be_given_up(place: Environment) -> None:
    """The change is committed all the same; abandoning it lets the component go on."""
    await place.apply(migrating(place, 1))
    place.target.failing.add("contract 2")
    applied = await place.apply(migrating(place, 2))
    assert applied.changes[0].fate is Fate.COMMITTED
    assert applied.changes[0].unfinished is not None
    await place.recovery.abandon("dev", "that column stays")
    states = {run.state for run in place.target.runs.values() if run.address.what is RunKind.AFTER}
    assert RunState.ABANDONED in states
    assert (await place.store.history("dev"))[0].why == "that column stays"
    await settled(place)
