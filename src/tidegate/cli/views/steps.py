"""Steps in the words of progress: which rows they concern, and what is being done."""

from __future__ import annotations

from typing import assert_never

from tidegate.model.component import RunKind
from tidegate.model.step import (
    Assume,
    Observe,
    Prepare,
    Provide,
    Replace,
    Retire,
    Revert,
    Route,
    Run,
    Scale,
    Start,
    Step,
    Verify,
    Withdraw,
)

_RUNS = {
    RunKind.BEFORE: "running its migration before the new start",
    RunKind.AFTER: "running its migration after the old are gone",
    RunKind.TASK: "running",
}


def rows_of(step: Step) -> tuple[str, ...]:
    """The components, or the resource, that a step is about."""
    match step:
        case Prepare():
            return (step.component,)
        case Start() | Replace() | Verify() | Scale() | Retire():
            return (step.group.component,)
        case Provide() | Withdraw():
            return (step.resource,)
        case Run() | Revert() | Assume():
            return (step.run.component,)
        case Route():
            return tuple(
                sorted({move.component for move in step.entries} | {m.edge.group.component for m in step.edges})
            )
        case Observe():
            return tuple(sorted({group.component for group in step.groups}))
        case _:
            assert_never(step)


def doing(step: Step, *, back: bool) -> str:
    """What is being done; `back`: to undo a change."""
    match step:
        case Prepare():
            return "checking its artifact"
        case Start():
            return f"starting {_many(step)}"
        case Replace():
            stopped = ", ".join(group.name for group in step.stops)
            return f"stopping {stopped}, then starting {_many(step)}" if stopped else f"starting {_many(step)}"
        case Provide():
            return "starting the resource"
        case Withdraw():
            return "stopping the resource"
        case Run():
            return f"{_RUNS[step.run.what]} ({step.run.name})"
        case Revert():
            return f"taking its migration back ({step.run.name})"
        case Assume():
            return f"counting {step.run.name} as {step.state.value if step.state else 'never run'}"
        case Verify():
            return f"verifying {step.group.name}, unseen by users"
        case Route():
            return "switching back" if back else "switching"
        case Observe():
            return f"observing for {step.seconds} s"
        case Scale():
            return f"scaling {step.group.name} down to {step.replicas}"
        case Retire():
            return f"retiring {step.group.name}"
        case _:
            assert_never(step)


def _many(step: Start | Replace) -> str:
    replicas = step.pin.shape.replicas
    return f"{step.group.name} ({replicas} instances)" if replicas > 1 else step.group.name
