"""Until what was started is healthy, or surely will not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from tidegate.drivers.local.agent.health import speaks_http
from tidegate.drivers.local.agent.instance import Instance
from tidegate.drivers.local.agent.project import Project
from tidegate.errors import StepFailed
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState

LOOK = 1.0
LOST = 5.0
"""So many seconds it may listen on other ports than its own before the start is given up."""
MORE_TIME = "If it opens $PORT only later, say how long that may take: `health: {start_timeout: 90s}`"

Failure = Callable[[Instance, str, Sequence[str], str], StepFailed]
"""Of an instance, with the reason, its last lines and a hint."""


async def until_healthy(
    project: Project, instances: Sequence[Instance], exits: Mapping[str, int], failed: Failure, *, movable: bool
) -> None:
    """All of them are healthy. `exits` are those that they had before by name.

    Raises `failed` as soon as one of them ends, or is not healthy within its `start_timeout`. `movable`: a program
    that listens elsewhere may be given that port.
    """

    def all_healthy() -> bool:
        for instance in instances:
            if instance.exits > exits[instance.name] or instance.state is InstanceState.STOPPED:
                raise failed(instance, instance.last_exit or instance.reason, instance.last_words, "")
        return all(instance.state is InstanceState.HEALTHY for instance in instances)

    loop = asyncio.get_running_loop()
    patience = max((instance.spec.health.start_timeout for instance in instances), default=0) / 1000
    deadline = loop.time() + patience
    lost_since: float | None = None
    while not await project.until(all_healthy, seconds=min(LOOK, max(0.0, deadline - loop.time()))):
        late = next(instance for instance in instances if instance.state is not InstanceState.HEALTHY)
        ports = [] if late.was_healthy else await late.elsewhere()
        if loop.time() >= deadline:
            reason = f"not healthy within {patience:g} s: {late.reason}"
            told = f"{reason}\n{_elsewhere(late, ports, movable=movable)}" if ports else reason
            raise failed(late, told, late.tail(), "")
        if not ports or not await _surely(late, ports):
            lost_since = None
        elif lost_since is None:
            lost_since = loop.time()
        elif loop.time() - lost_since >= LOST and late.state is not InstanceState.HEALTHY:
            raise failed(late, _elsewhere(late, ports, movable=movable), late.tail(), MORE_TIME)


async def _surely(instance: Instance, ports: list[int]) -> bool:
    """Whether the service itself listens there, so that waiting is in vain. Debuggers and the like open ports before
    a service does; and whoever wrote a `start_timeout` wants it to be waited for."""
    health = instance.spec.health
    if health.kind is HealthKind.COMMAND or health.start_timeout != Health().start_timeout:
        return False
    for port in ports:
        if await speaks_http(port):
            return True
    return False


def _elsewhere(instance: Instance, ports: list[int], *, movable: bool) -> str:
    there = ", ".join(str(port) for port in ports)
    way = ""
    if movable:
        way = f", or write `port: {ports[0]}`" if len(ports) == 1 else ", or write the one it serves on as `port:`"
    return f"it listens on {there} instead of {instance.record.port}: let it read $PORT{way}"
