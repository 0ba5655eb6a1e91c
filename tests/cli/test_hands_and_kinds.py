"""Workers, tasks, migrations, resources, and changes that hang: what people see, by commands over a simulated target.

Screens are compared with the files in `golden/`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import Program, tidegate
from tests.cli.worlds import matches_golden
from tidegate.app.explain import Past, explain
from tidegate.app.planned import Planned
from tidegate.cli.changing import Course
from tidegate.composition import SystemClock
from tidegate.errors import StepFailed
from tidegate.execution import Applied, ChangeResult, Fate
from tidegate.model.component import RunKind
from tidegate.model.observed import Observed
from tidegate.model.pins import Revision
from tidegate.model.plan import Change, Plan
from tidegate.model.step import Replace, Retire, Start, Step

__all__ = ["tidegate"]


def unsettle(tidegate: Program) -> None:
    """Let a change of orders fail, and its undo as well: the new group can be neither started nor removed."""

    def fault(step: Step) -> StepFailed | None:
        if isinstance(step, Start) and step.group.component == "orders":
            tidegate.target.take(step, "dev")
        elif not isinstance(step, Retire):
            return None
        return StepFailed("cannot reach orders", "The port is taken by another program.", component="orders")

    tidegate.edit("orders")
    tidegate.target.fault = fault
    tidegate("up", "dev", "--only", "orders", status=1)
    tidegate.target.fault = lambda _: None


def test_a_plan_says_what_is_interrupted_what_cannot_be_undone_and_in_which_waves(tidegate: Program) -> None:
    """A replaced worker with the time it took last, a migration without undo, a change larger than its room."""
    first = tidegate("plan", "dev")
    assert "+ orders-db  is started: a resource of the environment" in first
    tidegate("up", "dev")
    tidegate.edit("orders", "frontend", "mailer")
    assert "mailer is interrupted (never measured)" in tidegate("up", "dev")
    tidegate.edit("orders", "frontend", "mailer")
    matches_golden("plan-waves", tidegate("plan", "dev"))
    plan = tidegate.json("plan", "dev")["plan"]
    assert [each["component"] for change in plan["changes"] for each in change["interruptions"]] == ["mailer"]
    assert plan["changes"][0]["waves"] == 2


def test_a_resource_that_nothing_uses_any_more_is_stopped_and_the_plan_says_so(tidegate: Program) -> None:
    """Its data stay, and `down` says so; `down --data` destroys them, and always asks."""
    tidegate("up", "dev")
    (tidegate.root / "orders" / "service.yaml").write_text("run: python3 -m orders\nreplicas: 2\n")
    (tidegate.root / "seed" / "task.yaml").write_text("run: python3 -m seed\n")
    tidegate("up", "dev", "--only", "seed")
    assert "- orders-db  is stopped: no component uses this resource any more" in tidegate("up", "dev")
    assert ("dev", "orders-db") in tidegate.target.data
    assert "Data stay" not in tidegate("down", "dev", "--yes")  # it has none now; a former revision had
    refused = tidegate("down", "dev", "--data", status=64)
    assert "Will be destroyed for ever in dev: the data of orders-db, and what is known of" in refused
    assert ("dev", "orders-db") in tidegate.target.data
    (down,) = tidegate.json("down", "dev", "--data", "--yes")["environments"]
    assert (down["data"], down["data_destroyed"]) == (["orders-db"], True)
    assert tidegate.target.data == {}


def test_a_plain_down_keeps_data_and_says_how_to_destroy_them(tidegate: Program) -> None:
    """Nobody loses a database by surprise."""
    tidegate("up", "dev")
    assert "Data stay: orders-db (`tidegate down dev --data` destroys them)." in tidegate("down", "dev", "--yes")
    assert ("dev", "orders-db") in tidegate.target.data


def test_an_unsettled_environment_shows_each_step_and_the_three_ways_out(tidegate: Program) -> None:
    """What was done, what failed, what waits, what of the undo; then commands to copy."""
    tidegate("up", "dev")
    unsettle(tidegate)
    matches_golden("unsettled-status", tidegate("status", "dev"))
    (found,) = tidegate.json("status", "dev")["environments"]
    (claim,) = found["claims"]
    assert "The port is taken" in claim["unsettled"]
    states = {(step["undo"], step["state"]) for step in claim["steps"]}
    assert {(False, "done"), (False, "failed"), (False, "waiting"), (True, "failed")} <= states


def test_what_is_unsettled_holds_up_only_itself(tidegate: Program) -> None:
    """The mailer goes out; orders, and the frontend that is wired to them, wait for somebody to choose."""
    tidegate("up", "dev")
    unsettle(tidegate)
    tidegate.edit("frontend", "mailer")
    said = tidegate("up", "dev", status=1)
    assert "mailer-r6 is healthy" in said
    assert "orders: unsettled" in said
    for way in ("tidegate resume dev", "tidegate undo dev", 'tidegate abandon dev --because "…"'):
        assert way in said
    (document,) = tidegate.json("up", "dev", status=1)["environments"]
    assert document["error"]["kind"] == "ClaimRefused"
    assert tidegate.json("history", "dev")["revisions"][0]["differences"][0]["component"] == "mailer"


def test_where_only_what_is_unsettled_would_be_left_to_do_up_says_so(tidegate: Program) -> None:
    """It is not taken for an environment in which all is well."""
    tidegate("up", "dev")
    unsettle(tidegate)
    tidegate("up", "dev", "--only", "mailer")
    said = tidegate("up", "dev", "--only", "orders", status=1)
    assert "unsettled" in said
    assert "nothing to do" not in said


def test_a_change_that_hangs_goes_on_once_the_trouble_is_away(tidegate: Program) -> None:
    """`resume` commits it, with its reason of then."""
    tidegate("up", "dev")
    unsettle(tidegate)
    assert "dev: orders went on to the end; dev@4 is what counts." in tidegate("resume", "dev")
    assert tidegate.target.entries["dev", "orders"].born == 4
    assert "cannot find a change that hangs" in tidegate("resume", "dev", status=64)


@pytest.mark.parametrize("command", ["undo", "recover"])
def test_a_change_that_hangs_goes_back_once_the_trouble_is_away(tidegate: Program, command: str) -> None:
    """The parent is what runs, and nothing of the new is left."""
    tidegate("up", "dev")
    unsettle(tidegate)
    done = tidegate.json(command, "dev")
    assert done["components"] == ["orders"]
    assert done["status"]["revision"] == "dev@1"
    assert done["status"]["claims"] == []
    assert {group.born for group in tidegate.target.groups if group.component == "orders"} == {1}


def test_trouble_that_stays_is_told_with_how_far_it_came(tidegate: Program) -> None:
    """A way out that fails leaves the change as it was: unsettled."""
    tidegate("up", "dev")
    unsettle(tidegate)
    tidegate.target.fault = lambda step: StepFailed("cannot reach it") if isinstance(step, Retire) else None
    said = tidegate("undo", "dev", status=1)
    assert said.index("cannot reach it") < said.index("undo failed") < said.index("tidegate resume dev")
    assert tidegate.json("undo", "dev", status=1)["error"]["summary"] == "cannot reach it"


def test_abandon_records_what_is_there_and_asks_before(tidegate: Program) -> None:
    """The reason stays in the history."""
    tidegate("up", "dev")
    unsettle(tidegate)
    assert "Add --yes" in tidegate("abandon", "dev", "--because", "x", status=64)
    assert "without a reason" in tidegate("abandon", "dev", "--because", " ", "--yes", status=64)
    said = tidegate("abandon", "dev", "--because", "that port is lost", "--yes")
    matches_golden("abandon", said + tidegate("history", "dev", "--limit", "1"))


def test_a_migration_that_was_ended_in_the_middle_asks_its_question(tidegate: Program) -> None:
    """Nobody guesses: the screen says where to look, and each answer with its command."""
    tidegate("up", "dev")
    tidegate.interrupt_migration()
    tidegate.edit("orders")
    matches_golden("interrupted-migration", tidegate("up", "dev", status=1))
    tidegate.edit("orders", "mailer")
    again = tidegate("up", "dev", status=1)
    assert "mailer-r5 is healthy" in again
    assert "--not-ran orders" in again
    run = next(run for run in tidegate.target.runs.values() if run.status is None)
    tidegate.target.said = ("column price added",)
    assert "column price added" in tidegate("logs", "-e", "dev", run.address.name)
    assert "cannot take both" in tidegate("resume", "dev", "--ran", "orders", "--not-ran", "orders", status=64)
    tidegate.target.ran.clear()
    assert "went on to the end" in tidegate("resume", "dev", "--not-ran", "orders")
    assert tidegate.target.ran == ["python3 -m orders.migrate"]


def test_a_migration_that_cannot_be_undone_is_not_said_to_be_put_back(tidegate: Program) -> None:
    """The change went back; what the migration did stays, in words that nobody overlooks."""
    tidegate("up", "dev")
    tidegate.edit("orders")
    tidegate.target.fault = lambda step: (
        StepFailed("cannot start orders", component="orders") if isinstance(step, Start) else None
    )
    said = tidegate("up", "dev", status=1)
    assert "dev: orders failed; it was put back." in said
    assert "Not undone  what orders-before-" in said


def test_a_worker_that_could_not_be_replaced_was_interrupted(tidegate: Program) -> None:
    """The screen does not say that nobody noticed."""
    tidegate("up", "dev")
    tidegate.edit("mailer")

    def fault(step: Step) -> StepFailed | None:
        if isinstance(step, Replace) and step.group.born > 2:
            tidegate.target.take(step, "dev")
            return StepFailed("cannot start mailer", component="mailer")
        return None

    tidegate.target.fault = fault
    said = tidegate("up", "dev", status=1)
    assert "nobody served as mailer until the old one ran again" in said
    assert "were not affected" not in said


def test_settling_that_is_stopped_says_what_stays_to_be_done(tidegate: Program) -> None:
    """Ctrl-C: the change is in the middle still, and nothing pretends that it is not."""
    tidegate("up", "dev")
    unsettle(tidegate)

    def interrupt(_: Step) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return 60.0

    tidegate.target.clock = SystemClock()
    tidegate.target.duration = interrupt
    assert "`tidegate recover dev` puts it in order" in tidegate("resume", "dev", status=1)
    assert tidegate.json("status", "dev")["environments"][0]["claims"][0]["recovering"]


def test_a_task_is_run_to_its_end_and_its_output_is_kept(tidegate: Program) -> None:
    """The output alone on standard output; each time is another run; the status of the last is shown."""
    tidegate("up", "dev")
    tidegate.target.said = ("3 orders", "a \x1b[31mred\x1b[0m one")
    shown = tidegate("run", "dev", "seed", "--why", "for the demo")
    assert shown.endswith("---\n3 orders\na red one\n")
    tidegate.target.failing.add("python3 -m seed")
    failed = tidegate("run", "dev", "seed", "--quiet", status=1)
    matches_golden("run", shown + failed + tidegate("logs", "-e", "dev", "seed", "-n", "1") + tidegate("status", "dev"))
    document = tidegate.json("run", "dev", "seed", status=1)
    assert (document["status"], document["output"][0]) == (1, "3 orders")
    assert document["failure"]["kind"] == "StepFailed"
    assert [run.what for run in tidegate.target.runs].count(RunKind.TASK) == 3
    assert tidegate.json("status", "dev")["environments"][0]["claims"] == []


def test_only_a_task_that_is_there_can_be_run(tidegate: Program) -> None:
    """Otherwise it is said what there is; the shell offers tasks alone."""
    assert "a task comes into an environment" in tidegate("run", "dev", "seed", status=64).lower()
    tidegate("up", "dev")
    assert "dev has seed." in tidegate("run", "dev", "orders", status=64)
    env = {**os.environ, "_TIDEGATE_COMPLETE": "complete_bash", "COMP_WORDS": "tidegate run dev ", "COMP_CWORD": "3"}
    program = Path(sys.executable).parent / "tidegate"
    offered = subprocess.run([program], env=env, cwd=tidegate.root, capture_output=True, text=True, check=False)
    assert offered.stdout.split() == ["seed"]


def test_a_saved_plan_is_carried_over_where_nobody_touched_what_it_changes(tidegate: Program) -> None:
    """One line says so; where somebody did, it says who, when and what."""
    tidegate("up", "dev")
    tidegate.edit("orders", "mailer")
    file = str(tidegate.root / ".tidegate" / "mailer.plan")
    tidegate("plan", "dev", "--only", "mailer", "--out", file)
    tidegate("up", "dev", "--only", "orders", "--why", "new prices")
    assert "dev: carried over from dev@1 to dev@4." in tidegate("apply", file)
    tidegate.edit("mailer")
    tidegate("plan", "dev", "--only", "mailer", "--out", file)
    tidegate.edit("mailer")
    tidegate("up", "dev", "--only", "mailer", "--why", "urgent")
    refused = tidegate("apply", file, status=1)
    assert "cannot apply a stale plan" in refused
    assert "dev@6 by ana@acme.example at" in refused
    assert "(urgent) changed mailer." in refused


@pytest.mark.parametrize(
    ("revisions", "carried"),
    [([(5, 4), (6, 5)], None), ([(7, 6), (8, 7)], ("dev@4", "dev@6")), ([(7, 4), (9, 8)], ("dev@4", "dev@8"))],
)
def test_a_plan_that_others_committed_beside_says_onto_what_it_came(
    revisions: list[tuple[int, int]], carried: tuple[str, str] | None
) -> None:
    """Its own revisions are not those of others."""
    plan = Plan("dev", 4)
    results = tuple(
        ChangeResult(
            Change(number, (), (), ""), Fate.COMMITTED, Revision("dev", number, parent, {}, "", "ana", "", 0.0)
        )
        for number, parent in revisions
    )
    planned = Planned(plan, {}, {}, Observed("dev"), {})
    course = Course("dev", planned, explain(planned, Past()), 4, applied=Applied(plan, results))
    assert course.carried_over == carried
