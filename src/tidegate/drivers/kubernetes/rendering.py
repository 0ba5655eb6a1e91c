"""What an environment is made of, as objects: for people, for other tools, and to be tried before anything is made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tidegate.drivers.kubernetes.area import Area
from tidegate.drivers.kubernetes.objects.environment import environment_objects
from tidegate.drivers.kubernetes.objects.group import group_objects
from tidegate.drivers.kubernetes.objects.resources import resource_objects
from tidegate.drivers.kubernetes.objects.services import edge_object, entry_objects
from tidegate.drivers.kubernetes.patches import check
from tidegate.drivers.kubernetes.sources import Sources
from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress
from tidegate.model.pins import Pin
from tidegate.model.step import Provide, Replace, Start
from tidegate.ports.target import Scenery

Json = dict[str, Any]


class Rendering:
    """Makes the objects of one environment, and applies none."""

    def __init__(self, area: Area, sources: Sources, *, organization: str, proxy: str) -> None:
        self._area = area
        self._sources = sources
        self._organization = organization
        self._proxy = proxy

    async def of_step(self, step: Start | Replace | Provide) -> Sequence[Json]:
        """What a step would make, without values of secrets. Patched objects are held against what the cluster knows.

        Raises `StepFailed`, `TargetError`.
        """
        area = self._area
        if isinstance(step, Provide):
            return resource_objects(area.namespace, area.environment, step.resource, step.spec)
        await area.mirror.ready()
        source = await self._sources.of_group(area, step.group, step.pin, dict(step.edges))
        objects = group_objects(area.namespace, source, proxy=self._proxy)
        entry = entry_objects(area.namespace, step.group.component, step.group, step.pin) if source.port else []
        await self._check_patches(step.group.component, step.pin, [*objects, *entry])
        return objects

    async def render(self, scenery: Scenery) -> Sequence[Json]:
        """See `Renders`. Raises `StepFailed` where a release has no image, `TargetError`."""
        area = self._area
        await area.mirror.ready()
        pins = {start.group: start.pin for start in scenery.groups}
        made = environment_objects(area.namespace, area.environment, self._organization)
        for name, resource in sorted(scenery.resources.items()):
            made += resource_objects(area.namespace, area.environment, name, resource)
        sources = await asyncio.gather(
            *(
                self._sources.of_group(area, start.group, start.pin, dict(start.edges), pins=pins)
                for start in scenery.groups
            )
        )
        for source in sources:
            for need, to in source.edges.items():
                made.append(
                    edge_object(area.namespace, EdgeAddress(source.group, need), to, aliases=source.aliases[need])
                )
            made += group_objects(area.namespace, source, proxy=self._proxy)
        for component, to in sorted(scenery.entries.items()):
            made += entry_objects(area.namespace, component, to, pins[to])
        return made

    async def _check_patches(self, component: str, pin: Pin, objects: Sequence[Json]) -> None:
        patches = pin.shape.cluster.patches if pin.shape.cluster else ()
        kinds = {patch.kind for patch in patches}
        wrong = await check(self._area.api, [each for each in objects if each["kind"] in kinds]) if kinds else []
        if wrong:
            raise TargetError(
                f"cannot use the patches of {component}",
                "\n".join(wrong),
                hint=f"Mend `kubernetes: {{patches: …}}` in the manifest of {component}.",
                address=component,
            )
