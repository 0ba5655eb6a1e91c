"""Forget: what was kept for an environment is given back."""

from __future__ import annotations

import asyncio
import shutil

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.providing import withdraw
from tidegate.drivers.local.folders import destroy_data
from tidegate.errors import TargetError


async def forget(project: Project, name: str, *, data: bool) -> None:
    """Withdraw resources that are left, give back listeners, ports and folders of an environment without groups;
    with `data`, also the folders that outlive it.

    Raises `TargetError` while it has groups.
    """
    environment = project.state.environments.get(name)
    if environment is not None:
        if environment.groups:
            raise TargetError(
                f"cannot forget {name}",
                f"{len(environment.groups)} instance groups still run: "
                + ", ".join(sorted(group.name for group in environment.groups)),
                hint="Retire them first.",
            )
        for resource in list(environment.resources):
            await withdraw(project, name, resource)
        del project.state.environments[name]
        project.save()
    if project.state.environments:
        await project.apply()
    project.registry.give_back(port for port in project.registry.names() if port.startswith(f"{name}/"))
    for folder in (project.folders.environment(name), project.folders.logs(name)):
        shutil.rmtree(folder, ignore_errors=True)
    if data:
        await asyncio.to_thread(destroy_data, project.folders, name)
