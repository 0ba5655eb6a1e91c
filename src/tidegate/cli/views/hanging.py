"""Changes under way and changes that hang: who has them, how far they came, and the ways out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tidegate.app.hanging import ClaimStatus, StepStatus
from tidegate.app.inspect import EnvironmentStatus
from tidegate.cli.views.console import clean
from tidegate.cli.views.listing import Fields
from tidegate.model.holder import holder_in_words
from tidegate.model.observed import RunState

_STYLES = {"done": "green", "failed": "bold red", "begun": "yellow", "waiting": "dim"}


def claim_lines(status: EnvironmentStatus, claim: ClaimStatus, *, brief: bool = False) -> list[Text | Fields]:
    """One claim: that it is under way, or that it is unsettled; unless `brief` with each step and how to get out."""
    names = ", ".join(claim.components)
    if not claim.unsettled:
        doing = "recovered" if claim.recovering else "changed"
        hint = f"if that is gone: tidegate recover {status.environment}"
        return [
            Text(f"  {names}: being {doing} by {clean(holder_in_words(claim.holder))}; {hint}", style="yellow"),
        ]
    if brief:
        text = f"  {names}: unsettled; `tidegate status {status.environment}` shows each step and the ways out"
        return [Text(text, style="bold red")]
    what = "A change could neither be finished nor be undone"
    if claim.committed:
        what = "A change is committed, and could not be finished"
    return [
        Text(f"  {names}: unsettled. {what}:", style="bold red"),
        *(Text(f"    {line}") for line in clean(claim.unsettled).splitlines()),
        *way_lines(status, claim),
    ]


def way_lines(status: EnvironmentStatus, claim: ClaimStatus) -> list[Text | Fields]:
    """How far an unsettled change came, and the ways out."""
    return [
        Fields([_step(step, again="again" if claim.committed else "undo") for step in claim.steps]),
        Text(f"  Nobody can change {', '.join(claim.components)} until you choose:"),
        *ways_out(status, claim),
    ]


def ways_out(status: EnvironmentStatus, claim: ClaimStatus) -> list[Text | Fields]:
    """The ways out, as commands that are right for this claim, with what is to be found out before. What is committed
    has no way back; what failed, and is in order all the same, can be said to be."""
    environment = status.environment
    several = len(unsettled(status)) > 1
    only = f" --only {claim.components[0]}" if several else ""
    own = [run for run in status.runs if run.name in claim.migrations and run.component in claim.components]
    unseen = [run for run in own if run.state == RunState.INTERRUPTED]
    failed = sorted({run.component for run in own if run.state == RunState.FAILED} - {run.component for run in unseen})
    questions = [
        Text(f"  Did {run.name} do all it should? What it printed: tidegate logs -e {environment} {run.name}")
        for run in unseen
    ]
    goals = [("resume", "go on to the end"), ("undo", "go back to what was before")]
    rows = [
        (f"{meaning}{goal}", f"tidegate {what} {environment}{only}{said}")
        for what, goal in (goals[:1] if claim.committed else goals)
        for said, meaning in _answers(sorted({run.component for run in unseen}))
    ]
    if failed and not unseen:
        (what, goal), said = (goals[0], "--ran") if claim.committed else (goals[1], "--not-ran")
        meaning = "its migration is done by hand" if claim.committed else "its migration is taken back by hand"
        command = f"tidegate {what} {environment}{only}{''.join(f' {said} {name}' for name in failed)}"
        rows.append((f"{meaning}: {goal}", command))
    rows.append(("keep what is there now", f'tidegate abandon {environment}{only} --because "…"'))
    fields = Fields([(goal, Text(command, style="cyan", no_wrap=True, overflow="ignore")) for goal, command in rows])
    return [*questions, fields]


def unsettled(status: EnvironmentStatus) -> Sequence[ClaimStatus]:
    """The claims of an environment that are unsettled."""
    return [claim for claim in status.claims if claim.unsettled]


def _answers(unseen: Sequence[str]) -> Sequence[tuple[str, str]]:
    """What may be said of runs that nobody saw end, and what that means."""
    if not unseen:
        return (("", ""),)
    ran, not_ran = ("".join(f" {said} {name}" for name in unseen) for said in ("--ran", "--not-ran"))
    return ((ran, "it did: "), (not_ran, "it did not: "))


def _step(step: StepStatus, *, again: str) -> tuple[str, Text]:
    state = f"{again} {step.state}" if step.undo else step.state
    return state, Text(clean(step.text), style=_STYLES.get(step.state, ""), no_wrap=True, overflow="ellipsis")
