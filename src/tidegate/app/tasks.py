"""Tasks: run to their end when somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError, UsageError
from tidegate.execution.settle import head_pins, releases_of
from tidegate.model.address import RunAddress
from tidegate.model.component import Kind
from tidegate.model.step import Run
from tidegate.planning import plan_task
from tidegate.ports.target import KeepsOutput


async def plan_run(workspace: Workspace, environment: str, task: str) -> Planned:
    """The plan that runs a task once, as it is pinned in the environment. Raises `UsageError` if it is none there."""
    workspace = workspace.at(environment)
    record = await workspace.store.environment(environment)
    current = await head_pins(workspace.store, record)
    known = await releases_of(workspace.store, current)
    tasks = sorted(name for name, pin in current.items() if known[pin.release].kind is Kind.TASK)
    if task not in tasks:
        there = f"{environment} has {', '.join(tasks)}." if tasks else f"{environment} has no tasks."
        spec = workspace.project.components.get(task)
        kind = known[current[task].release].kind if task in current else spec.kind if spec else Kind.TASK
        what = "not there" if kind is Kind.TASK else f"a {kind}, not a task"
        raise UsageError(
            f"cannot run {task}",
            f"It is {what}. {there}",
            hint=f"A task comes into an environment like everything else: tidegate up {environment}",
        )
    observed = await workspace.target.observe(environment)
    plan = plan_task(
        environment=environment,
        parent=record.head,
        number=record.next_number,
        component=task,
        pin=current[task],
        needs=known[current[task].release].runtime.needs,
        observed=observed,
    )
    return Planned(plan, current, current, observed, known)


def run_of(planned: Planned) -> RunAddress:
    """The run that a plan of `plan_run` makes."""
    return next(
        entry.step.run for change in planned.plan.changes for entry in change.steps if isinstance(entry.step, Run)
    )


def output(workspace: Workspace, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
    """What a run printed. Raises `TidegateError` if the target keeps no output."""
    target = workspace.at(run.environment).target
    if not isinstance(target, KeepsOutput):
        raise TidegateError(f"cannot show what {run.name} printed", "This target keeps no output.")
    return target.output(run, follow=follow)
