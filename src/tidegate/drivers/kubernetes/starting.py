"""Start and Replace: a group is a Deployment with its edges, and has as many healthy instances as it shall have."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.drivers.kubernetes.area import LOOK, Area, is_ending, is_ready, label
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.errors import ConflictError
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, POD, SERVICE
from tidegate.drivers.kubernetes.names import COMPONENT, GROUP, PROGRAM, edge_name, fit, group_name
from tidegate.drivers.kubernetes.objects.group import group_objects, secret_object
from tidegate.drivers.kubernetes.objects.services import edge_object
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.drivers.kubernetes.sources import Sources, aliases_of
from tidegate.errors import StepFailed
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.step import Replace, Start
from tidegate.ports.target import Epoch

Json = dict[str, Any]
FETCHING = 600.0  # seconds for a node to be found and the image to get there, beyond the time to start


class Starting:
    """Starts groups in one environment."""

    def __init__(self, area: Area, claims: Claims, sources: Sources, proxy: str) -> None:
        self._area = area
        self._claims = claims
        self._sources = sources
        self._proxy = proxy

    async def start(self, step: Start, epoch: Epoch) -> None:
        """See `Start`. Raises `StepFailed`, `OldEpoch`, `TargetError`."""
        source = await self._made(step, epoch)
        if source.release.runtime.data:
            self._refuse_second_writer(step.group)
        await self._apply(source, epoch, alone=False)
        await self._healthy(source, epoch)

    async def replace(self, step: Replace, epoch: Epoch) -> None:
        """See `Replace`. Raises as `start`."""
        async with side_by_side() as tasks:
            for group in step.stops:
                tasks.start_soon(self.stop, group, epoch)
        source = await self._made(step, epoch)
        await self._apply(source, epoch, alone=True)
        await self._healthy(source, epoch)

    async def stop(self, group: GroupAddress, epoch: Epoch, *, replicas: int = 0) -> None:
        """A group that runs has no more than `replicas` instances, and all others have ended."""
        area, name = self._area, group_name(group)

        def few() -> bool | None:
            self._claims.check_seen(epoch)
            deployment = area.deployment(group)
            stopped = deployment is None or deployment["spec"].get("replicas", 1) <= replicas
            return True if stopped and len(area.pods(group)) <= replicas else None

        while True:
            found = await area.api.get(DEPLOYMENT, name, area.namespace)
            await self._claims.check(epoch)
            if found is None or found["spec"].get("replicas", 1) <= replicas:
                break
            if await self._scaled(found, replicas):
                break
        while await area.until(few, seconds=LOOK) is None:
            pass

    async def _made(self, step: Start | Replace, epoch: Epoch) -> GroupSource:
        """The edges are there before anything that calls them; the rest is looked up meanwhile."""
        area, group = self._area, step.group
        edges = dict(step.edges)
        await area.mirror.ready()
        await self._gone_if_going(group, epoch)
        services = area.mirror.objects(SERVICE)
        async with side_by_side() as tasks:
            for need, to in edges.items():
                if edge_name(EdgeAddress(group, need)) not in services:
                    edge = EdgeAddress(group, need)
                    made = edge_object(area.namespace, edge, to, aliases=aliases_of(area, to))
                    tasks.start_soon(area.put, made)
        return await self._sources.of_group(area, group, step.pin, edges)

    async def _gone_if_going(self, group: GroupAddress, epoch: Epoch) -> None:
        """One that is being removed comes back only when it is gone."""

        def gone() -> bool | None:
            self._claims.check_seen(epoch)
            deployment = self._area.deployment(group)
            return None if deployment is not None and is_ending(deployment) else True

        while await self._area.until(gone, seconds=LOOK) is None:
            pass

    def _refuse_second_writer(self, group: GroupAddress) -> None:
        own = group_name(group)
        others = {
            label(pod, GROUP)
            for pod in self._area.mirror.objects(POD).values()
            if label(pod, COMPONENT) == fit(group.component) and label(pod, GROUP) not in {"", own}
        }
        if others:
            raise StepFailed(
                f"cannot start {group.component}",
                f"{', '.join(sorted(others))} still runs, and its data have one writer.",
                component=group.component,
            )

    async def _apply(self, source: GroupSource, epoch: Epoch, *, alone: bool) -> None:
        """What the Deployment refers to, then the Deployment, then what refers to it.

        `alone`: it may not run unless the claim is still held. So it begins without instances, and gets them on
        condition that nobody touched it since then.
        """
        area = self._area
        secret = secret_object(area.namespace, source, self._sources.values(source.group.component, source.pin))
        objects = [*([secret] if secret else []), *group_objects(area.namespace, source, proxy=self._proxy)]
        place = next(index for index, each in enumerate(objects) if each["kind"] == "Deployment")
        deployment = objects[place]
        await self._claims.check(epoch)
        if secret is not None:  # of which nobody would know after a crash, if its Deployment were not there
            await self._noted(deployment)
        await self._all(objects[:place])
        if not alone:
            made = await area.put(deployment)
            if not made["spec"].get("replicas", 1):  # an autoscaler leaves what was stopped as it is
                await self._scaled(made, _least(source))
        else:
            await self._apply_alone(deployment, epoch)
        await self._all(objects[place + 1 :])

    async def _apply_alone(self, deployment: Json, epoch: Epoch) -> None:
        area, spec = self._area, deployment["spec"]
        wanted = spec.get("replicas", 1)
        name = deployment["metadata"]["name"]
        await self._noted(deployment)
        while True:
            found = await area.api.get(DEPLOYMENT, name, area.namespace)
            await self._claims.check(epoch)
            if found is None:
                raise _vanished(deployment["metadata"]["labels"][COMPONENT], name)
            try:
                await area.put({**deployment, "spec": {**spec, "replicas": wanted}}, found=found)
            except ConflictError as error:
                if not error.stale:
                    raise
            else:
                return

    async def _noted(self, deployment: Json) -> None:
        """It is there, without instances if it was not there before."""
        area = self._area
        if await area.api.get(DEPLOYMENT, deployment["metadata"]["name"], area.namespace) is None:
            await area.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}})

    async def _all(self, objects: Sequence[Mapping[str, Any]]) -> None:
        async with side_by_side() as tasks:
            for each in objects:
                tasks.start_soon(self._area.put, each)

    async def _scaled(self, found: Json, replicas: int) -> bool:
        area = self._area
        try:
            await area.api.patch(
                DEPLOYMENT,
                found["metadata"]["name"],
                area.namespace,
                {"spec": {"replicas": replicas}},
                version=found["metadata"]["resourceVersion"],
            )
        except ConflictError as error:
            if not error.stale:
                raise
            return False
        return True

    async def _healthy(self, source: GroupSource, epoch: Epoch) -> None:
        area, group, component = self._area, source.group, source.group.component
        wanted = _least(source)
        allowed = source.release.runtime.health.start_timeout / 1000
        begun = time.monotonic()
        running: dict[str, float] = {}  # pod -> since when its program runs without being healthy

        def up() -> bool | None:
            self._claims.check_seen(epoch)
            return True if is_up(area.deployment(group), wanted) else None

        while await area.until(up, seconds=LOOK) is None:
            deployment = area.deployment(group)
            if deployment is None and time.monotonic() - begun > 10 * LOOK:
                raise _vanished(component, group.name)
            if deployment is None:
                continue
            pods = area.pods(group)
            verdict = await area.verdict(deployment, pods)
            if verdict is not None and verdict.certain:
                raise await area.failure("start", component, verdict)
            late = _late(pods, running, allowed)
            if late or time.monotonic() - begun > allowed + FETCHING:
                if verdict is not None:
                    raise await area.failure("start", component, verdict)
                raise StepFailed(
                    f"cannot start {component}",
                    f"It is not healthy {math.ceil(allowed)} s after it started.",
                    component=component,
                    instance=late,
                    log=await area.last_words(late, PROGRAM, previous=False) if late else (),
                )


def _least(source: GroupSource) -> int:
    """How many instances there are to be, before an autoscaler thinks otherwise."""
    scale = source.cluster.autoscale
    return scale.least if scale else source.pin.shape.replicas


def is_up(deployment: Mapping[str, Any] | None, wanted: int) -> bool:
    """Whether a Deployment is seen by its controller as it is now, with so many instances that stay."""
    if deployment is None or is_ending(deployment):
        return False
    status = deployment.get("status", {})
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
    )


def _late(pods: Sequence[Mapping[str, Any]], running: dict[str, float], allowed: float) -> str:
    """A pod whose program has run for longer than it may take to become healthy; "" if there is none."""
    now = time.monotonic()
    for pod in pods:
        name = pod["metadata"]["name"]
        statuses = pod.get("status", {}).get("containerStatuses", [])
        if is_ready(pod) or not statuses or not _program_runs(statuses):
            running.pop(name, None)
        elif now - running.setdefault(name, now) > allowed:
            return str(name)
    return ""


def _program_runs(statuses: Sequence[Mapping[str, Any]]) -> bool:
    return any(each["name"] == PROGRAM and "running" in each.get("state", {}) for each in statuses)


def _vanished(component: str, name: str) -> StepFailed:
    return StepFailed(
        f"cannot start {component}", f"Somebody removed the Deployment {name} in the meantime.", component=component
    )
