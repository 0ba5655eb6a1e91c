"""What came of a change that did not get through: one screen, what it says first is what matters most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from tidegate.app.inspect import EnvironmentStatus
from tidegate.cli.views.console import clean
from tidegate.cli.views.errors import error_text
from tidegate.cli.views.hanging import ways_out
from tidegate.cli.views.listing import Fields
from tidegate.cli.views.progress import Taken
from tidegate.errors import ClaimLost, GatewayRefused, OldEpoch, StepFailed, StoreError, TargetError, TidegateError
from tidegate.execution.progress import ChangeResult, Fate, Moment
from tidegate.model.digest import short
from tidegate.model.plan import PlannedStep
from tidegate.model.step import Provide, Replace, Retire, Revert, Route, Scale, Start

LOG_LINES = 10  # without empty ones; Node.js prints that much from the line that says why on
DETAIL_LINES = 4
STEP_LINES = 8
_PARTS: tuple[tuple[type[TidegateError], str], ...] = (  # the first that fits
    (GatewayRefused, "the gateway"),
    (TargetError, "the target"),
    (StoreError, "the store"),
)
_POD = re.compile(r".+-r[0-9]+-[0-9a-z]+-[0-9a-z]{5}")  # of a Deployment
_MOMENTS = {Moment.DONE: "done", Moment.FAILED: "failed", Moment.BEGUN: "not ended"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A change that did not get through. `parent` names the revision below it, "" if there was none.

    `switched` says for how many seconds users met the new releases; None if they never did. `taken` are the steps
    that were begun, those of undo last; `interrupted` are components whose old instances were stopped, `left` are
    migrations that cannot be undone. `status` is how the environment stands now, where that could be seen.
    """

    environment: str
    parent: str
    result: ChangeResult
    switched: float | None = None
    stopped: bool = False
    taken: tuple[Taken, ...] = ()
    interrupted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    status: EnvironmentStatus | None = None


def show_failure(console: Console, failure: Failure) -> None:
    """At most 24 lines at 80 columns, unless the last line of the log is very long."""
    unsettled = failure.result.fate is Fate.UNSETTLED
    console.print(_headline(failure), soft_wrap=True)
    console.print(Fields(_unsettled(failure) if unsettled else _undone(failure)), soft_wrap=True)
    if unsettled and failure.status:
        for claim in failure.status.claims:
            if claim.unsettled and claim.number == failure.result.change.number:
                console.print("Choose:", soft_wrap=True)
                for line in ways_out(failure.status, claim):
                    console.print(line, soft_wrap=True)


def show_trouble(console: Console, error: TidegateError) -> None:
    """An error with the last lines of what the component at fault printed, if it tells any."""
    console.print(error_text(error), soft_wrap=True)
    if log := _log(error):
        console.print(Fields(log), soft_wrap=True)


def show_unfinished(console: Console, environment: str, result: ChangeResult) -> None:
    """A change that is committed and could not be finished."""
    names = ", ".join(result.change.components)
    text = f"{environment}: {names} committed, but not finished."
    console.print(Text(clean(text), style="bold yellow"), soft_wrap=True)
    rows = _why(result.unfinished)
    if result.unfinished and result.unfinished.hint:
        rows.append(("Hint", Text(clean(result.unfinished.hint))))
    rows.append(("Users", Text("have the new releases", style="green")))
    again = f"tidegate recover {environment}  (or the next command that changes {names}) tries again"
    rows.append(("Next", Text(again, style="cyan")))
    console.print(Fields(rows), soft_wrap=True)


def _headline(failure: Failure) -> Text:
    names = ", ".join(failure.result.change.components)
    if isinstance(failure.result.failure, ClaimLost | OldEpoch):
        return Text(f"{failure.environment}: another command has taken over {names}.", style="bold red")
    if failure.result.fate is Fate.UNSETTLED:
        return Text(
            f"{failure.environment} is unsettled: {names} could neither be changed nor put back.", style="bold red"
        )
    if failure.stopped:
        return Text(f"{failure.environment}: stopped. {names} put back.", style="bold yellow")
    culprit = _culprit(failure.result.failure, names)
    if culprit == names:
        what = "they were put back together" if len(failure.result.change.components) > 1 else "it was put back"
    elif len(failure.result.change.components) > 1:
        what = f"{names} were put back together"
    else:
        what = f"{names} was put back"
    return Text(f"{failure.environment}: {culprit} failed; {what}.", style="bold red")


def _culprit(error: TidegateError | None, names: str) -> str:
    """Who failed: a component only when it is known that it did."""
    if isinstance(error, StepFailed):
        return error.component or names
    return next((part for kind, part in _PARTS if isinstance(error, kind)), "the change")


def _undone(failure: Failure) -> list[tuple[str, Text]]:
    rows = _why(failure.result.failure)
    if (error := failure.result.failure) and error.hint:
        rows.append(("Hint", Text(clean(error.hint))))
    rows.append(("Put back", Text(_put_back(failure.result.put_back))))
    if failure.interrupted:
        names = ", ".join(failure.interrupted)
        rows.append(("Users", Text(f"nobody served as {names} until the old one ran again", style="yellow")))
    if failure.switched is not None:
        users = "" if failure.interrupted else "Users"
        rows.append((users, Text(f"met the new releases for {failure.switched:.1f} s, until the switch back")))
    elif not failure.interrupted:
        rows.append(("Users", Text("were not affected: the switch had not happened", style="green")))
    rows.append(("Stays", Text(_stays(failure))))
    if failure.left:
        what = "\n".join(f"what {name} did; it has no `undo:`" for name in failure.left)
        rows.append(("Not undone", Text(what, style="bold red")))
    rows.append(("Next", Text(_next(failure), style="cyan")))
    return rows


def _unsettled(failure: Failure) -> list[tuple[str, Text]]:
    rows = _why(failure.result.failure)
    if failure.result.unfinished:
        rows.append(("Undo", Text(_limited(failure.result.unfinished, DETAIL_LINES))))
    earlier = len(failure.taken) - STEP_LINES
    if earlier > 0:
        rows.append(("", Text(f"{earlier} earlier steps", style="dim")))
    for taken in failure.taken[-STEP_LINES:]:
        rows.append((_MOMENTS[taken.moment], Text(clean(taken.text), no_wrap=True, overflow="ellipsis")))
    rows.append(("Next", Text(f"tidegate status {failure.environment}", "cyan")))
    return rows


def _why(error: TidegateError | None) -> list[tuple[str, Text]]:
    if error is None:
        return []
    where = f"{error.address}: " if error.address else ""
    return [("Why", Text(f"{clean(where)}{_limited(error, DETAIL_LINES)}")), *_log(error)]


def _log(error: TidegateError) -> list[tuple[str, Text]]:
    if not isinstance(error, StepFailed) or not error.log:
        return []
    rows = []
    full = [line for line in error.log if line.strip()] or [""]
    *before, last = [clean(line).replace("\n", " ") for line in full[-LOG_LINES:]]
    if before:
        rows.append(("Log", Text("\n".join(before), style="dim", no_wrap=True, overflow="ellipsis")))
    rows.append(("" if before else "Log", Text(last, style="dim")))  # whole: it mostly says what is wrong
    return rows


def _limited(error: TidegateError, lines: int) -> str:
    detail = clean(error.detail).splitlines()
    shown = [clean(error.summary), *detail[:lines]]
    if len(detail) > lines:
        shown[-1] += " …"
    return "\n".join(shown)


def _put_back(steps: Sequence[PlannedStep]) -> str:
    routed = [move for planned in steps if isinstance(planned.step, Route) for move in planned.step.entries]
    texts = []
    if back := [move.to.name for move in routed if move.to]:
        texts.append(f"traffic to {', '.join(back)}")
    if started := [planned.step.group.name for planned in steps if isinstance(planned.step, Start | Replace)]:
        texts.append(f"started {', '.join(started)}")
    if provided := [planned.step.resource for planned in steps if isinstance(planned.step, Provide)]:
        texts.append(f"started {', '.join(provided)} as before")
    if reverted := [planned.step.run.name for planned in steps if isinstance(planned.step, Revert)]:
        texts.append(f"took back {', '.join(reverted)}")
    if gone := [planned.step.group.name for planned in steps if isinstance(planned.step, Retire | Scale)]:
        texts.append(f"removed {', '.join(gone)}")
    return "; ".join(texts) or "nothing had been changed yet"


def _stays(failure: Failure) -> str:
    old = [f"{pin.component} {short(pin.old.release)}" for pin in failure.result.change.pins if pin.old]
    if not old:
        return "nothing of it ran before, and nothing does now"
    return f"{failure.parent}: {', '.join(old)}" if failure.parent else ", ".join(old)


def _next(failure: Failure) -> str:
    environment = failure.environment
    if failure.stopped:
        return f"tidegate up {environment}"
    error = failure.result.failure
    component = _component(error)
    lines = []
    if isinstance(error, StepFailed) and error.instance:
        name = error.instance.rpartition("/")[2].partition(".")[0]  # a group, or a run
        if not _POD.fullmatch(name):  # what a pod printed is gone with it; its last lines stand above
            lines.append(f"tidegate logs -e {environment} {name}")
    elif component:
        lines.append(f"tidegate logs -e {environment} {component}")
    return clean("\n".join([*lines, f"tidegate plan {environment}"]))


def _component(error: TidegateError | None) -> str:
    return error.component if isinstance(error, StepFailed) else ""
