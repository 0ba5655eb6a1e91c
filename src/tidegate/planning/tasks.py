"""The plan of one run of a task: nothing is pinned anew, a command is run to its end."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.model.address import RunAddress
from tidegate.model.component import RunKind
from tidegate.model.digest import digest
from tidegate.model.encoding import sealed
from tidegate.model.observed import InstanceState, Observed
from tidegate.model.pins import Pin
from tidegate.model.plan import Change, Phase, PinChange, Plan, PlannedStep
from tidegate.model.step import Prepare, Provide, Run


def plan_task(
    *, environment: str, parent: int, number: int, component: str, pin: Pin, needs: Sequence[str], observed: Observed
) -> Plan:
    """Run the task that is pinned as `component` once. Its resources are started if they do not run."""
    prepare = PlannedStep(f"prepare:{component}", Phase.PREPARE, Prepare(component, pin.release))
    provide = [
        PlannedStep(f"provide:{name}", Phase.PREPARE, Provide(name, resource))
        for name, resource in pin.shape.resources
        if (seen := observed.resources.get(name)) is None or seen.state is not InstanceState.HEALTHY
    ]
    run = Run(RunAddress(environment, component, pin.release, RunKind.TASK, turn=number), pin)
    after = tuple(planned.id for planned in (prepare, *provide))
    change = Change(
        number=number,
        pins=(PinChange(component, pin, pin, ("is run",)),),
        steps=(prepare, *provide, PlannedStep(f"run:{component}", Phase.PREPARE, run, after)),
        intent=digest("intent", {"environment": environment, "run": component, "pin": pin.digest, "turn": number}),
        neighbours=tuple(needs),
    )
    return sealed(Plan(environment, parent, (change,)))
