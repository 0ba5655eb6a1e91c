"""Retire and Scale, and what is given back when an environment ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import anyio

from tidegate.drivers.kubernetes.area import LOOK, Area, is_ready, label
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.errors import ConflictError
from tidegate.drivers.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HPA,
    NETWORK_POLICY,
    PDB,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiKind,
)
from tidegate.drivers.kubernetes.names import (
    COMPONENT,
    GROUP,
    STATS_PORT,
    component_name,
    exposed_name,
    fit,
    group_name,
    labels,
    policy_name,
    secret_name,
)
from tidegate.drivers.kubernetes.objects.proxy import DRAIN_PATH, STATS_PATH
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.drivers.kubernetes.starting import Starting
from tidegate.drivers.kubernetes.traffic import is_proxied, traffic_of
from tidegate.errors import TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.step import Retire, Scale
from tidegate.ports.target import Epoch

Json = dict[str, Any]


class Retiring:
    """Takes instances and groups away in one environment."""

    def __init__(self, area: Area, claims: Claims, starting: Starting) -> None:
        self._area = area
        self._claims = claims
        self._starting = starting

    async def retire(self, step: Retire, epoch: Epoch, drain: float) -> None:
        """The group is gone, with its edges and all that was made for it. Clients have `drain` seconds to go elsewhere.

        Raises `OldEpoch`, `TargetError`.
        """
        area, group = self._area, step.group
        await area.mirror.ready()
        await self._drained(area.pods(group), drain, epoch)
        await self._starting.stop(group, epoch)
        # The Deployment goes last: as long as it is there, whoever comes after a crash sees that something is left.
        name = group_name(group)
        await self._delete_ours([*self._seen(SERVICE, GROUP, name), (PDB, name), (HPA, name)], epoch)
        await area.api.delete(SECRET, secret_name(name), area.namespace)
        await self._deleted(group, epoch)

        def gone() -> bool | None:
            self._claims.check_seen(epoch)
            return True if area.deployment(group) is None else None

        while await area.until(gone, seconds=LOOK) is None:
            pass
        component = group.component
        if not self._seen(DEPLOYMENT, COMPONENT, fit(component)):
            named = [
                (SERVICE_ACCOUNT, component_name(component)),
                (NETWORK_POLICY, policy_name(component)),
                (NETWORK_POLICY, exposed_name(component)),
            ]
            await self._delete_ours([*self._seen(CONFIG_MAP, COMPONENT, fit(component)), *named], epoch)

    async def scale(self, step: Scale, epoch: Epoch) -> None:
        """See `Scale`. The cluster chooses who goes; those drain by themselves before they end."""
        await self._area.mirror.ready()
        await self._starting.stop(step.group, epoch, replicas=step.replicas)

    async def _drained(self, pods: Sequence[Json], drain: float, epoch: Epoch) -> None:
        """Clients were told to close, and no request is under way; or the time is over."""
        area = self._area
        proxied = [pod["metadata"]["name"] for pod in pods if is_ready(pod) and is_proxied(pod)]
        busy = set(proxied)

        async def ask(name: str, method: str, path: str) -> bytes:
            try:
                return await area.api.pod_request(area.namespace, name, STATS_PORT, method, path)
            except TargetUnreachable:
                raise
            except TargetError:  # it has gone by itself
                busy.discard(name)
                return b""

        async def tell(name: str) -> None:
            await ask(name, "POST", DRAIN_PATH)

        async def look(name: str) -> None:
            text = await ask(name, "GET", STATS_PATH)
            if text and not traffic_of(text).active:
                busy.discard(name)

        await self._claims.check(epoch)
        async with side_by_side() as tasks:
            for name in proxied:
                tasks.start_soon(tell, name)
        end = time.monotonic() + drain
        while busy and time.monotonic() < end:
            async with side_by_side() as tasks:
                for name in sorted(busy):
                    tasks.start_soon(look, name)
            if busy:
                await anyio.sleep(min(LOOK, max(0.0, end - time.monotonic())))

    async def _deleted(self, group: GroupAddress, epoch: Epoch) -> None:
        """The Deployment is deleted with its pods, on condition that nobody touched it since it was read."""
        api, namespace, name = self._area.api, self._area.namespace, group_name(group)
        while True:
            found = await api.get(DEPLOYMENT, name, namespace)
            await self._claims.check(epoch)
            if found is None or "deletionTimestamp" in found["metadata"]:
                return
            version = found["metadata"]["resourceVersion"]
            try:
                await api.delete(DEPLOYMENT, name, namespace, foreground=True, version=version)
            except ConflictError as error:
                if not error.stale:
                    raise

    def _seen(self, kind: ApiKind, key: str, value: str) -> list[tuple[ApiKind, str]]:
        """Kind and name of what carries a label."""
        objects = self._area.mirror.objects(kind)
        return [(kind, name) for name, each in objects.items() if label(each, key) == value]

    async def _delete_ours(self, named: Sequence[tuple[ApiKind, str]], epoch: Epoch) -> None:
        """What others made under the same name stays. Each is asked for by itself: lists would be as long as the
        environment is large."""
        area, own = self._area, labels(self._area.environment)

        async def delete(kind: ApiKind, name: str) -> None:
            found = await area.api.get(kind, name, area.namespace)
            if found is not None and own.items() <= found["metadata"].get("labels", {}).items():
                await area.api.delete(kind, name, area.namespace)

        await self._claims.check(epoch)
        async with side_by_side() as tasks:
            for kind, name in named:
                tasks.start_soon(delete, kind, name)


def drain_of(release: Release) -> float:
    """Seconds that a release gives its clients."""
    return math.ceil(release.runtime.drain / 1000)
