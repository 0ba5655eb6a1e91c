"""Plans that outlive the revision they were made on: another team's commit does not touch what was approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.errors import StalePlan, UnsafePlan
from tidegate.execution.settle import head_pins, releases_of
from tidegate.model.component import RunKind
from tidegate.model.digest import short
from tidegate.model.holder import moment_in_words
from tidegate.model.plan import Plan
from tidegate.model.step import Prepare, Run
from tidegate.planning import Policy, make_plan, plan_task, wanted_by_changes


async def carry_over(workspace: Workspace, planned: Planned, policy: Policy) -> Planned:
    """The same intents on the newest revision, if neither the pins of the plan nor its neighbours were touched.

    Raises `StalePlan`, which says who touched what and when, or that what runs there has changed.
    """
    plan = planned.plan
    store = workspace.store
    number = await store.reserve_numbers(plan.environment, len(plan.changes))  # nobody takes these in the meantime
    record = await store.environment(plan.environment)
    head = await head_pins(store, record)
    parent = (await store.revision(plan.environment, plan.parent)).pins if plan.parent else {}
    touched = {name for change in plan.changes for name in (*change.components, *change.neighbours)}
    moved = sorted(name for name in touched if parent.get(name) != head.get(name))
    if moved:
        raise StalePlan(
            "cannot apply a stale plan",
            await _who(workspace, plan, moved) or f"{', '.join(moved)} changed since.",
            hint=f"Plan again: tidegate plan {plan.environment}",
            address=plan.environment,
        )
    wanted = wanted_by_changes(head, plan.changes)
    releases = {**planned.releases, **await releases_of(store, head)}
    observed = await workspace.target.observe(plan.environment)
    if task := _task(plan):
        run = plan_task(
            environment=plan.environment,
            parent=record.head,
            number=number,
            component=task,
            pin=head[task],
            needs=releases[head[task].release].runtime.needs,
            observed=observed,
        )
        return replace(planned, plan=run, current=head, wanted=head, observed=observed, releases=releases)
    again = make_plan(
        environment=plan.environment,
        parent=record.head,
        number=number,
        current=head,
        wanted=wanted,
        observed=observed,
        releases=releases,
        policy=policy,
        scope=frozenset(name for change in plan.changes for name in change.components),
        held=record.held,
    )
    if _asked(again) != _asked(plan):
        raise StalePlan(
            "cannot apply a stale plan",
            f"It was made on {plan.environment}@{plan.parent}; what is there now needs another one.",
            hint=f"Plan again: tidegate plan {plan.environment}",
            address=plan.environment,
        )
    return replace(planned, plan=again, current=head, wanted=wanted, observed=observed, releases=releases)


async def check_artifacts(workspace: Workspace, planned: Planned) -> None:
    """Raises `UnsafePlan` if a release that the plan starts has no artifact any more."""
    for change in planned.plan.changes:
        for step in (entry.step for entry in change.steps):
            if isinstance(step, Prepare) and not await workspace.store.artifacts(step.release):
                release = planned.releases[step.release]
                commit = f" (commit {release.commit[:10]})" if release.commit else ""
                raise UnsafePlan(
                    f"cannot start release {short(step.release)} of {step.component}",
                    f"Its artifact{commit} was pruned: `prune` keeps what is pinned, running, or in the last 10 "
                    "revisions.",
                    hint="Check that commit out and run `tidegate release`: the same sources make the same release.",
                    address=planned.plan.environment,
                )


async def _who(workspace: Workspace, plan: Plan, moved: Sequence[str]) -> str:
    """Which revisions since the plan was made touched these components, newest first."""
    line = await workspace.store.history(plan.environment, limit=500)
    lines = []
    for place, revision in enumerate(line):
        if revision.number == plan.parent:
            break
        older: Mapping[str, object] = line[place + 1].pins if place + 1 < len(line) else {}
        names = [name for name in moved if older.get(name) != revision.pins.get(name)]
        if names:
            why = f" ({revision.why})" if revision.why else ""
            moment = moment_in_words(revision.at)
            lines.append(f"{revision.name} by {revision.by} at {moment}{why} changed {', '.join(names)}.")
    return "\n".join(lines)


def _task(plan: Plan) -> str:
    """The task that a plan is there to run; "" if it changes something."""
    steps = (entry.step for change in plan.changes for entry in change.steps)
    return next((s.run.component for s in steps if isinstance(s, Run) and s.run.what is RunKind.TASK), "")


def _asked(plan: Plan) -> list[tuple[str, ...]]:
    """What a plan was approved for: pins from → to, and what cannot be undone. How the place looked then is no part
    of it; what had to be repaired may be repaired by now."""
    pins = [
        (entry.component, entry.old.digest if entry.old else "", entry.new.digest if entry.new else "")
        for change in plan.changes
        for entry in change.pins
        if entry.old != entry.new
    ]
    return sorted(pins) + sorted((text,) for change in plan.changes if change.repins for text in change.irreversible)
