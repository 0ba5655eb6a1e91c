"""Changes under way, and those that hang: who holds them, and which of their steps were done and undone."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.app.explain import in_words
from tidegate.execution.settle import is_committed, migrations
from tidegate.model.plan import Change, PlannedStep
from tidegate.ports.store import Claim, Event, Store

STATES = {"step-begun": "begun", "step-done": "done", "step-failed": "failed"}


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step of a change that hangs. `state`: waiting, begun (and not known to have ended), done, failed. `undo` says
    that it was to take the change back."""

    id: str
    text: str
    state: str
    undo: bool


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """Somebody is changing these components, or was and vanished; `at` (since when) and `lease` in seconds since the
    epoch. `unsettled` says why the change could neither be finished nor undone; then `steps` tell how far it came,
    `committed` whether it made its revision (then there is no way back), `migrations` the names of its runs."""

    components: tuple[str, ...]
    holder: str
    lease: float
    number: int = 0
    at: float = 0.0
    recovering: bool = False
    unsettled: str = ""
    steps: tuple[StepStatus, ...] = ()
    committed: bool = False
    migrations: tuple[str, ...] = ()


async def claim_status(store: Store, claim: Claim) -> ClaimStatus:
    """A claim as people see it. The journal is read only for one that is unsettled."""
    steps: tuple[StepStatus, ...] = ()
    committed, names = False, tuple[str, ...]()
    if claim.unsettled:
        plan = await store.plan(claim.plan)
        change = next(change for change in plan.changes if change.number == claim.number)
        steps = await _steps(store, claim, change)
        committed = await is_committed(store, claim)
        names = tuple(sorted(run.name for run in migrations(claim.environment, change)))
    return ClaimStatus(
        claim.components,
        claim.holder,
        claim.lease,
        claim.number,
        claim.at,
        claim.recovering,
        claim.unsettled,
        steps,
        committed,
        names,
    )


async def _steps(store: Store, claim: Claim, change: Change) -> tuple[StepStatus, ...]:
    subject = ",".join(change.components)
    events = [
        event
        for event in await store.events(environment=claim.environment, plan=claim.plan, subject=subject)
        if event.kind in STATES
    ]
    forward = [event for event in events if "plan" not in event.body]
    last = next((event.body["plan"] for event in reversed(events) if "plan" in event.body), None)
    found = _states(change.steps, forward, undo=False)
    if last is not None:
        back = [event for event in events if event.body.get("plan") == last]
        again = await store.plan(str(last))
        found += _states(tuple(step for each in again.changes for step in each.steps), back, undo=True)
    return tuple(found)


def _states(steps: tuple[PlannedStep, ...], events: list[Event], *, undo: bool) -> list[StepStatus]:
    states = {event.step: STATES[event.kind] for event in events}
    return [
        StepStatus(planned.id, in_words(planned.step), states.get(planned.id, "waiting"), undo) for planned in steps
    ]
