"""What an environment consists of, as objects that people read and other tools apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tidegate.app.change import Selection, plan_up
from tidegate.app.planned import Planned
from tidegate.app.release import BuildReporter
from tidegate.app.workspace import Workspace
from tidegate.errors import UsageError
from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind
from tidegate.model.observed import ObservedGroup
from tidegate.model.pins import Resource
from tidegate.model.step import Replace, Start
from tidegate.ports.target import Renders, Scenery


async def render(
    workspace: Workspace, environment: str, selection: Selection, *, build: BuildReporter
) -> Sequence[Mapping[str, Any]]:
    """The objects that an environment would consist of after `up`. Makes releases, as they are named by what they are
    made of; changes nothing else. Raises as `plan_up`, and `UsageError` where environments are not made of objects."""
    target = _renders(workspace, environment)
    planned = await plan_up(workspace, environment, selection, build=build)
    return await target.render(scenery_of(planned))


async def permissions(workspace: Workspace, environment: str) -> Sequence[Mapping[str, Any]]:
    """The objects that give somebody the least that is needed to change the environment. Raises as `render`."""
    return await _renders(workspace, environment).permissions(environment)


def scenery_of(planned: Planned) -> Scenery:
    """How the environment looks when the plan was carried out."""
    observed = planned.observed
    steps = [entry.step for change in planned.plan.changes for entry in change.steps]
    starting = {step.group.component: step for step in steps if isinstance(step, Start | Replace)}
    groups: list[Start] = []
    entries: dict[str, GroupAddress] = {}
    resources: dict[str, Resource] = {}
    for name, pin in sorted(planned.wanted.items()):
        release = planned.releases[pin.release]
        if release.kind is Kind.TASK:
            continue
        resources.update(pin.shape.resources)
        step = starting.get(name)
        if step is not None:
            start = Start(step.group, step.pin, step.edges)
        else:
            stays = _stays(planned, name, pin.identity)
            start = Start(stays.address, pin, tuple(sorted(stays.edges.items())))
        groups.append(start)
        if release.kind is Kind.SERVICE:
            entries[name] = start.group
    # In the end every edge leads to where the entry of its need does, also where it was born leading elsewhere.
    settled = (replace(each, edges=tuple((need, entries.get(need, to)) for need, to in each.edges)) for each in groups)
    return Scenery(observed.environment, tuple(settled), entries, resources)


def _stays(planned: Planned, name: str, identity: str) -> ObservedGroup:
    """The group that the plan leaves as it is: the one that the entry leads to, or any that fits."""
    fitting: dict[GroupAddress, ObservedGroup] = {
        address: group
        for address, group in planned.observed.groups.items()
        if address.component == name and group.identity == identity
    }
    entry = planned.observed.entries.get(name)
    return fitting[entry] if entry in fitting else next(iter(fitting.values()))


def _renders(workspace: Workspace, environment: str) -> Renders:
    workspace = workspace.at(environment)
    spec = workspace.environment(environment)
    if not isinstance(workspace.target, Renders):
        raise UsageError(
            f"cannot render {environment}",
            f"It lives on {spec.target.kind}, where environments are not made of objects.",
            hint="Give it `target: kubernetes` in tidegate.yaml.",
        )
    return workspace.target
