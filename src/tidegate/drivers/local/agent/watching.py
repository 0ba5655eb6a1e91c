"""Observe: after the switch, what users get decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.routing import edge_name, entry_name
from tidegate.drivers.local.gateway import Traffic
from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress
from tidegate.model.observed import InstanceState
from tidegate.model.step import Observe

LOOK = 0.2
ENOUGH_ERRORS = 5
"""So many answers 5xx end the observation early; fewer are judged at its end."""


@dataclass(frozen=True, slots=True)
class Way:
    """An entry or edge that is watched: its listener, who calls ("" for users), who answers."""

    listener: str
    caller: str
    callee: str
    group: GroupAddress | None


async def observe(project: Project, environment: str, step: Observe) -> None:
    """Nothing of the change failed for `step.seconds`.

    Raises `StepFailed` at once when an instance restarts or fails its check, or when answers 5xx are more than
    allowed. Of several ways that fail, the component is named that itself has no failing way behind it.
    """
    ways = _ways(project, environment, step)
    names = [way.listener for way in ways]
    exits = _exits(project, step)
    before = await project.traffic(names)
    loop = asyncio.get_running_loop()
    end = loop.time() + step.seconds
    while (left := end - loop.time()) > 0:
        _check_instances(project, step, exits)
        await asyncio.sleep(min(LOOK, left))
        _check_ways(project, step, ways, await _since(project, names, before), enough=ENOUGH_ERRORS)
    _check_instances(project, step, exits)
    _check_ways(project, step, ways, await _since(project, names, before), enough=1)


async def _since(project: Project, names: list[str], before: Mapping[str, Traffic]) -> dict[str, Traffic]:
    now = await project.traffic(names)
    return {name: _between(before[name], now[name]) for name in names}


def _between(before: Traffic, now: Traffic) -> Traffic:
    if now.answers < before.answers:  # the gateway was started again and counts from nothing
        return now
    return Traffic(now.answers - before.answers, now.errors - before.errors)


def _ways(project: Project, environment: str, step: Observe) -> list[Way]:
    record = project.state.environment(environment)
    ways = [
        Way(entry_name(environment, component), "", component, record.entries[component].to)
        for component in step.entries
        if component in record.entries
    ]
    for edge in step.edges:
        group = record.groups.get(edge.group)
        if group is not None and edge.need in group.edges:
            ways.append(
                Way(edge_name(edge.group, edge.need), edge.group.component, edge.need, group.edges[edge.need].to)
            )
    return ways


def _exits(project: Project, step: Observe) -> dict[str, int]:
    return {
        instance.name: instance.exits for group in step.groups for instance in project.instances.get(group, {}).values()
    }


def _check_instances(project: Project, step: Observe, exits: dict[str, int]) -> None:
    for group in step.groups:
        if project.state.group(group) is None:
            raise StepFailed(f"cannot keep {group.component}", f"{group.name} does not run.", component=group.component)
        for instance in project.instances.get(group, {}).values():
            if instance.exits > exits.get(instance.name, 0):
                reason, log = instance.last_exit, instance.last_words
            elif instance.state is not InstanceState.HEALTHY:
                reason, log = f"is {instance.state.value}: {instance.reason or instance.last_exit}", instance.tail()
            else:
                continue
            raise StepFailed(
                f"cannot keep {group.component}",
                reason,
                component=group.component,
                instance=instance.name,
                log=log,
                hint=f"All of its output is in {instance.log.path}",
            )


def _check_ways(project: Project, step: Observe, ways: list[Way], traffic: dict[str, Traffic], *, enough: int) -> None:
    failing = []
    for way in ways:
        seen = traffic[way.listener]
        if seen.errors >= enough and seen.errors * 10_000 > seen.answers * step.max_errors:
            failing.append(way)
    if not failing:
        return
    callers = {way.caller for way in failing}
    # In a ring every component has a failing way behind it; then the first is as good as any.
    fault = next((way for way in failing if way.callee not in callers), failing[0])
    seen = traffic[fault.listener]
    instances = sorted((project.instances.get(fault.group, {}) if fault.group else {}).items())
    raise StepFailed(
        f"cannot keep {fault.callee}",
        f"{seen.errors} of {seen.answers} answers to {fault.caller or 'users'} were errors (5xx); "
        f"{step.max_errors / 100:g} % are allowed.",
        component=fault.callee,
        instance=instances[0][1].name if instances else "",
        log=instances[0][1].tail() if instances else (),
        hint=f"Every request is in {project.folders.access_log(step.groups[0].environment)}" if step.groups else "",
    )
