"""Route: all moves of a change in one change of the gateway."""

from __future__ import annotations

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.routing import candidate_name, entry_name
from tidegate.drivers.local.agent.state import EnvironmentRecord, Pointer
from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress
from tidegate.model.step import Route


async def route(project: Project, environment: str, step: Route) -> None:
    """All moves are in force, or none. Entries keep their ports over all moves; candidates that got an entry lose
    the address they were looked at.

    Raises `StepFailed` for a group that does not exist, `GatewayRefused`, `TargetUnreachable`.
    """
    record = project.state.environment(environment)
    _check(record, step)
    names = {move.component: entry_name(environment, move.component) for move in step.entries if move.to}
    ports = project.registry.take(names.values())
    reserved = dict(record.reserved)
    before = dict(record.entries)
    edges_before = {(group, need): edge.to for group, g in record.groups.items() for need, edge in g.edges.items()}
    candidates = {group: g.candidate for group, g in record.groups.items()}
    for move in step.entries:
        record.reserved.pop(move.component, None)
        if move.to is None:
            record.entries.pop(move.component, None)
        else:
            record.entries[move.component] = Pointer(ports[names[move.component]], move.to)
            record.groups[move.to].candidate = 0
    for turn in step.edges:
        caller = record.groups.get(turn.edge.group)
        if caller is not None and turn.edge.need in caller.edges:
            caller.edges[turn.edge.need].to = turn.to
    try:
        await project.apply()
    except BaseException:  # also when the caller gives up: all or none
        record.entries, record.reserved = before, reserved
        for (address, need), to in edges_before.items():
            record.groups[address].edges[need].to = to
        for group, port in candidates.items():
            record.groups[group].candidate = port
        project.changed()
        raise
    project.save()
    project.registry.give_back(candidate_name(move.to) for move in step.entries if move.to)


def _check(record: EnvironmentRecord, step: Route) -> None:
    targets = [*(move.to for move in step.entries if move.to), *(move.to for move in step.edges if move.to)]
    callers = [move.edge.group for move in step.edges if move.to is not None]
    for group in (*targets, *callers):
        if group not in record.groups:
            raise _unknown(group)


def _unknown(group: GroupAddress) -> StepFailed:
    return StepFailed(f"cannot move traffic of {group.component}", f"{group} does not run.", component=group.component)
