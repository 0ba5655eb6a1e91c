"""Replace: the old instances have stopped before the new ones start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.retiring import drained, stop_instances
from tidegate.drivers.local.agent.starting import start
from tidegate.drivers.local.protocol import StartRequest
from tidegate.errors import TargetError
from tidegate.model.address import GroupAddress


async def replace(project: Project, request: StartRequest, stops: Sequence[GroupAddress]) -> dict[str, str]:
    """No instance of the groups in `stops` runs any more, and then as `start`.

    The groups stay without instances; they keep their ports, but for a fixed one, which the new group may need.
    """
    await project.see_through(_stop_all(project, stops))
    return await start(project, request)


async def end_surplus(project: Project) -> None:
    """Stop what an agent before this one had decided to stop, and did not get to."""
    surplus = [
        group.address for group in project.state.groups() if any(index >= group.replicas for index in group.instances)
    ]
    await asyncio.gather(*(_end_surplus(project, address) for address in surplus))


async def _end_surplus(project: Project, address: GroupAddress) -> None:
    async with project.lock(address):
        group = project.state.group(address)
        if group is not None:
            indices = [index for index in group.instances if index >= group.replicas]
            try:
                await stop_instances(project, group, indices, keep_ports=True)
            except OSError as error:  # the state file; what counts is that they have stopped
                project.complain(f"cannot write the state file: {error}")


async def _stop_all(project: Project, stops: Sequence[GroupAddress]) -> None:
    await asyncio.gather(*(_stop(project, address) for address in stops))


async def _stop(project: Project, address: GroupAddress) -> None:
    async with project.lock(address):
        group = project.state.group(address)
        if group is None or not (group.replicas or group.instances):
            return
        replicas, group.replicas = group.replicas, 0
        try:
            project.save()  # before anything is done: the next agent must not start them again
        except OSError:
            group.replicas = replicas
            raise
        project.withhold(address, group.instances)
        with suppress(TargetError):  # a gateway that is down sends no traffic here
            await project.apply()
        await drained(project, group)
        await stop_instances(project, group, list(group.instances), keep_ports=True)
