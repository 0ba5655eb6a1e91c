"""Provide and Withdraw: what the environment runs for its components."""

from __future__ import annotations

import math
import time
from typing import Any

from tidegate.drivers.kubernetes.area import LOOK, Area, is_ending, label
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.client import ConflictError
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, NETWORK_POLICY, POD, SERVICE, SERVICE_ACCOUNT
from tidegate.drivers.kubernetes.names import IDENTITY, PROGRAM, RESOURCE, fit, resource_name
from tidegate.drivers.kubernetes.objects.resources import resource_objects
from tidegate.drivers.kubernetes.starting import FETCHING, is_up
from tidegate.errors import StepFailed
from tidegate.model.step import Provide, Withdraw
from tidegate.ports.target import Epoch

Json = dict[str, Any]


class Providing:
    """Runs resources in one environment: each a Deployment of one instance, its Service and, if it has data, a claim
    for a volume, which nothing here removes."""

    def __init__(self, area: Area, claims: Claims) -> None:
        self._area = area
        self._claims = claims

    async def provide(self, step: Provide, epoch: Epoch) -> None:
        """See `Provide`. One that runs otherwise is stopped by its Deployment before the new one starts.

        Raises `StepFailed` when it ends, or is not healthy in time; it stays as it is. `OldEpoch`, `TargetError`.
        """
        area = self._area
        if not step.spec.image:
            raise StepFailed(
                f"cannot provide {step.resource}",
                "On Kubernetes it runs in an image, and none is named.",
                component=step.resource,
                hint=f"Write `image:` beside `run:` of {step.resource} in tidegate.yaml, pinned by digest.",
            )
        await area.mirror.ready()
        await self._gone_if_going(step.resource, epoch)
        *others, deployment = resource_objects(area.namespace, area.environment, step.resource, step.spec)
        await self._claims.check(epoch)
        for each in others:
            await area.api.apply(each)
        generation = await self._apply(deployment, epoch)
        await self._healthy(step, generation, epoch)

    async def withdraw(self, step: Withdraw, epoch: Epoch) -> None:
        """See `Withdraw`. Harmless when it never was."""
        area, name = self._area, resource_name(step.resource)
        await area.mirror.ready()
        while True:
            found = await area.api.get(DEPLOYMENT, name, area.namespace)
            await self._claims.check(epoch)
            if found is None:
                break
            version = found["metadata"]["resourceVersion"]
            try:
                await area.api.delete(DEPLOYMENT, name, area.namespace, foreground=True, version=version)
            except ConflictError as error:
                if not error.stale:
                    raise
            else:
                break

        def gone() -> bool | None:
            self._claims.check_seen(epoch)
            there = name in area.mirror.objects(DEPLOYMENT)
            return None if there or self._pods(step.resource) else True

        while await area.until(gone, seconds=LOOK) is None:
            pass
        for kind in (SERVICE, NETWORK_POLICY, SERVICE_ACCOUNT):
            await area.api.delete(kind, name, area.namespace)

    async def _gone_if_going(self, resource: str, epoch: Epoch) -> None:
        """One that is being removed comes back only when it is gone."""
        name = resource_name(resource)

        def gone() -> bool | None:
            self._claims.check_seen(epoch)
            found = self._area.mirror.objects(DEPLOYMENT).get(name)
            return None if found is not None and is_ending(found) else True

        while await self._area.until(gone, seconds=LOOK) is None:
            pass

    async def _apply(self, deployment: Json, epoch: Epoch) -> int:
        """On condition that nobody touched it since it was read. The generation that has to be healthy."""
        area = self._area
        while True:
            found = await area.api.get(DEPLOYMENT, deployment["metadata"]["name"], area.namespace)
            await self._claims.check(epoch)
            wanted = deployment["metadata"]["annotations"][IDENTITY]
            if found is not None and found["metadata"].get("annotations", {}).get(IDENTITY) == wanted:
                return int(found["metadata"]["generation"])
            metadata = dict(deployment["metadata"])
            if found is not None:
                metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
            try:
                applied = await area.api.apply({**deployment, "metadata": metadata})
                return int(applied["metadata"]["generation"])
            except ConflictError as error:
                if not error.stale:
                    raise

    async def _healthy(self, step: Provide, generation: int, epoch: Epoch) -> None:
        area, name = self._area, resource_name(step.resource)
        allowed = step.spec.health.start_timeout / 1000
        begun = time.monotonic()
        running: float | None = None

        def up() -> bool | None:
            self._claims.check_seen(epoch)
            found = area.mirror.objects(DEPLOYMENT).get(name)
            new = found is not None and found["metadata"]["generation"] >= generation
            return True if new and is_up(found, 1) else None

        while await area.until(up, seconds=LOOK) is None:
            deployment, pods = area.mirror.objects(DEPLOYMENT).get(name), self._pods(step.resource)
            if deployment is None or deployment["metadata"]["generation"] < generation:
                if time.monotonic() - begun > FETCHING:
                    raise StepFailed(f"cannot provide {step.resource}", "It is gone.", component=step.resource)
                continue
            now = time.monotonic()
            staying = [pod for pod in pods if not is_ending(pod)]
            runs = next((str(pod["metadata"]["name"]) for pod in staying if _program_runs(pod)), "")
            running = (running or now) if runs else None
            verdict = await area.verdict(deployment, staying)
            late = (running is not None and now - running > allowed) or now - begun > allowed + FETCHING
            if verdict is not None and (verdict.certain or late):
                raise await area.failure("provide", step.resource, verdict)
            if late:
                raise StepFailed(
                    f"cannot provide {step.resource}",
                    f"It is not healthy {math.ceil(allowed)} s after it started.",
                    component=step.resource,
                    instance=runs,
                    log=await area.last_words(runs, PROGRAM, previous=False) if runs else (),
                )

    def _pods(self, resource: str) -> list[Json]:
        pods = self._area.mirror.objects(POD).values()
        return [pod for pod in pods if label(pod, RESOURCE) == fit(resource)]


def _program_runs(pod: Json) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return any(each["name"] == PROGRAM and "running" in each.get("state", {}) for each in statuses)
