"""What an agent does for its project all the time, whoever asks for what: the gateway knows who is healthy and lives,
logs stay small, and an agent without an environment ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.logs import rotate_by_name
from tidegate.errors import TargetError

UNUSED_LOOKS = 10


async def follow_health(project: Project) -> None:
    """Tell the gateway whenever the health of an instance changes; runs for ever."""
    while True:
        await project.dirty.wait()
        project.dirty.clear()
        try:
            await project.apply()
        except (TargetError, OSError) as error:
            project.complain(f"the gateway did not take a change: {error}")
            await asyncio.sleep(0.5)  # keep_gateway starts it again
            project.dirty.set()


async def keep_gateway(project: Project) -> None:
    """Start the gateway again whenever it died; runs until the project ends."""
    while True:
        await asyncio.sleep(0.5)
        try:
            if project.ending:
                return
            await project.serving()
            if await project.gateway.revive():
                project.dirty.set()
        except (TargetError, OSError) as error:
            project.complain(f"the gateway is down: {error}")


async def unused(project: Project) -> None:
    """Return when there has been no environment for a while, and the gateway was stopped."""
    looks = 0
    while looks < UNUSED_LOOKS:
        await asyncio.sleep(1)
        looks = looks + 1 if project.idle else 0
    if not project.ending:
        await project.end()


async def rotate_logs(project: Project) -> None:
    """Archive logs that grew too large; runs for ever."""
    while True:
        await asyncio.sleep(2)
        for instance in project.supervised():
            try:
                await asyncio.to_thread(instance.log.rotate)
            except OSError as error:  # a full disk; the log goes on as it is
                project.complain(f"cannot rotate {instance.log.path}: {error}")
        await _rotate_access_logs(project)


async def _rotate_access_logs(project: Project) -> None:
    rotated = [rotate_by_name(project.folders.access_log(name)) for name in project.state.environments]
    if any(rotated):
        with suppress(TargetError):  # then it goes on in the renamed file, and no line is lost
            await project.gateway.reopen_logs()
