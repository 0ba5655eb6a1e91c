"""Pods as groups and resources have them, made without starting a group: what is asked of them is what is tested."""

from __future__ import annotations

from tests.kubernetes.place import ENVIRONMENT, Place
from tidegate.drivers.kubernetes.area import is_ready
from tidegate.drivers.kubernetes.kinds import POD
from tidegate.drivers.kubernetes.objects.group import group_objects
from tidegate.model.address import GroupAddress
from tidegate.model.component import Health, HealthKind, Runtime
from tidegate.model.pins import Pin


def program(run: str, *, verify: str | None = None, listens: bool = False) -> Runtime:
    """Ready as soon as it lives, or when it listens."""
    health = Health(HealthKind.TCP) if listens else Health(HealthKind.ALIVE)
    return Runtime(run=run, health=health, verify=verify, drain=0, grace=500)


async def running(here: Place, component: str, pin: Pin, *, replicas: int = 1) -> tuple[GroupAddress, list[str]]:
    """A group with its objects, and the names of its pods when all are ready."""
    group = GroupAddress(ENVIRONMENT, component, 1)
    await here.area.mirror.ready()
    source = await here.sources.of_group(here.area, group, pin, {})
    for each in group_objects(here.area.namespace, source, proxy=""):
        await here.api.apply(each)

    def ready() -> list[str] | None:
        names = [pod["metadata"]["name"] for pod in here.area.pods(group) if is_ready(pod)]
        return names if len(names) == replicas else None

    names = await here.area.until(ready, seconds=60)
    assert names, [pod.get("status") for pod in here.area.mirror.objects(POD).values()]
    return group, names
