"""Scale and Retire: instances go after their traffic went."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.routing import callers, candidate_name, edge_name, instance_name
from tidegate.drivers.local.agent.state import GroupRecord
from tidegate.drivers.local.logs import InstanceLog
from tidegate.errors import StepFailed, TargetError
from tidegate.model.address import GroupAddress

KEPT_LOGS = 5
"""Of so many former groups of a component the logs stay, for people who look why."""


async def scale(project: Project, address: GroupAddress, replicas: int) -> None:
    """The group has at most this many instances; those with the highest numbers go. Never adds one."""
    async with project.lock(address):
        group = project.state.group(address)
        if group is None:
            raise StepFailed(
                f"cannot scale {address.component}", f"{address} does not run.", component=address.component
            )
        group.replicas = min(group.replicas, replicas)
        leaving = sorted(group.instances)[replicas:]
        project.withhold(address, leaving)
        await project.apply()
        await drained(project, group)
        await stop_instances(project, group, leaving)


async def retire(project: Project, address: GroupAddress) -> None:
    """The group is gone: drained, stopped, its listeners and ports given back. Harmless when it never was.

    Raises `StepFailed` while users' traffic still leads to it.
    """
    async with project.lock(address):
        group = project.state.group(address)
        if group is None:
            return
        environment = project.state.environment(address.environment)
        by = callers(environment, address)
        if by:
            raise StepFailed(
                f"cannot retire {address.component}",
                f"{by} still leads to {address.name}.",
                component=address.component,
                hint="Move the traffic first.",
            )
        await drained(project, group)
        project.withhold(address, group.instances)
        with suppress(TargetError):  # a gateway that is down sends no traffic here
            await project.apply()
        await stop_instances(project, group, list(group.instances))
        del environment.groups[address]
        if not any(other.component == address.component for other in environment.groups):
            environment.reserved.pop(address.component, None)
        try:
            project.save()
        except OSError:  # it is there until that is written down
            environment.groups[address] = group
            raise
        project.drop(address)
        with suppress(TargetError):
            await project.apply()
        names = [candidate_name(address), *(edge_name(address, need) for need in group.edges)]
        kept = [name for name in project.registry.names() if name.startswith(instance_name(address))]
        project.registry.give_back([*names, *kept])
        await asyncio.to_thread(_tidy, project, group)


async def drained(project: Project, group: GroupRecord) -> None:
    """Until no request to the group is in flight, or its time to drain is over."""
    with suppress(TimeoutError, TargetError):
        async with asyncio.timeout(group.spec.drain / 1000):
            while await project.gateway.active(str(group.address)):  # noqa: ASYNC110 - the gateway sets no event
                await asyncio.sleep(0.05)


async def stop_instances(
    project: Project, group: GroupRecord, indices: Sequence[int], *, keep_ports: bool = False
) -> None:
    """These instances run no more. A fixed port is given back even with `keep_ports`."""
    instances = project.instances.get(group.address, {})
    await asyncio.gather(*(instances[index].stop() for index in indices if index in instances))
    for index in indices:
        instances.pop(index, None)
        group.instances.pop(index, None)
    if not keep_ports or group.spec.port is not None:
        project.registry.give_back(instance_name(group.address, index) for index in indices)
    project.release(group.address, indices)
    project.save()


def _tidy(project: Project, group: GroupRecord) -> None:
    """Remove the settings file, and the logs of groups that went long ago."""
    if group.spec.settings:
        Path(group.spec.settings).unlink(missing_ok=True)
    address = group.address
    alive = {other.name for other in project.state.environment(address.environment).groups}
    folder = project.folders.logs(address.environment)
    former: dict[int, list[Path]] = {}
    for path in folder.glob(f"{address.component}-r*.log"):
        name = path.name.partition(".")[0]
        born = name.removeprefix(f"{address.component}-r")
        if born.isdigit() and name not in alive:
            former.setdefault(int(born), []).append(path)
    for number in sorted(former)[:-KEPT_LOGS]:
        for path in former[number]:
            InstanceLog(path).remove()
