"""One environment as the driver sees it: its namespace, and the objects in it as they are now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.diagnosis import Verdict, why_not
from tidegate.drivers.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    JOB,
    POD,
    SERVICE,
    kind_of,
)
from tidegate.drivers.kubernetes.mirror import Mirror
from tidegate.drivers.kubernetes.names import EDGE, GROUP, ROLE, group_name
from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress

Json = dict[str, Any]
T = TypeVar("T")
WATCHED = (DEPLOYMENT, POD, SERVICE, ENDPOINT_SLICE, JOB, CONFIG_MAP)
LOOK = 1.0  # seconds between two looks at what an API server does not push
LAST_WORDS = 20  # lines


@dataclass
class Area:
    """Shared by all steps of one environment. Events are asked for at most once in `LOOK`, however many wait."""

    api: Api
    environment: str
    namespace: str
    mirror: Mirror
    _events: tuple[float, Sequence[Json]] = (-LOOK, ())
    _asking: anyio.Lock = field(default_factory=anyio.Lock)

    def deployment(self, group: GroupAddress) -> Json | None:
        """That of a group, also while it is on its way out."""
        return self.mirror.objects(DEPLOYMENT).get(group_name(group))

    def pods(self, group: GroupAddress) -> list[Json]:
        """Those of a group, sorted by name, also those that are ending."""
        name = group_name(group)
        found = [pod for pod in self.mirror.objects(POD).values() if label(pod, GROUP) == name]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def edges_of(self, group: GroupAddress) -> list[Json]:
        """The Services of a group's edges."""
        services, own = self.mirror.objects(SERVICE).values(), group_name(group)
        return [each for each in services if label(each, GROUP) == own and label(each, ROLE) == EDGE]

    async def put(self, obj: Mapping[str, Any], *, found: Mapping[str, Any] | None = None) -> Json:
        """Make an object so; it counts as seen from then on. With `found`, only if that is what is there still: one
        that was deleted since is not made anew. Raises `ConflictError`, `stale` if it is not."""
        if found is not None:
            held = {key: found["metadata"][key] for key in ("resourceVersion", "uid")}
            obj = {**obj, "metadata": {**obj["metadata"], **held}}
        made, kind = await self.api.apply(obj), kind_of(obj)
        if kind in WATCHED:
            self.mirror.saw(kind, made)
        return made

    async def until(self, look: Callable[[], T | None], *, seconds: float) -> T | None:
        """As `Mirror.until`."""
        return await self.mirror.until(look, seconds=seconds)

    async def events(self) -> Sequence[Json]:
        """What the cluster said lately about objects of the namespace."""
        async with self._asking:
            if time.monotonic() - self._events[0] >= LOOK:
                found = await self.api.list(EVENT, self.namespace)
                self._events = (time.monotonic(), found.items)
            return self._events[1]

    async def verdict(self, deployment: Json, pods: Sequence[Json]) -> Verdict | None:
        """Why not all of these pods are well, as far as it can be told."""
        return why_not(deployment, pods, await self.events(), self.api.now())

    async def failure(self, what: str, component: str, verdict: Verdict) -> StepFailed:
        """The error for a verdict, with the last lines of the container where they tell more."""
        log: tuple[str, ...] = ()
        if verdict.wants_log and verdict.pod:
            log = await self.last_words(verdict.pod, verdict.container, previous=verdict.previous)
        return StepFailed(
            f"cannot {what} {component}",
            verdict.reason,
            component=component,
            instance=verdict.pod,
            log=log,
            hint=verdict.hint,
        )

    async def last_words(self, pod: str, container: str, *, previous: bool) -> tuple[str, ...]:
        """The last lines of a container, none if it cannot be asked."""
        return await self.api.last_lines(self.namespace, pod, container, tail=LAST_WORDS, previous=previous)


def label(obj: Mapping[str, Any], name: str) -> str:
    """The value of a label, "" if there is none."""
    return str(obj["metadata"].get("labels", {}).get(name, ""))


def is_ending(obj: Mapping[str, Any]) -> bool:
    """Whether it was deleted and is not gone yet."""
    return "deletionTimestamp" in obj["metadata"]


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod takes part: it runs, its check succeeds, and it is not ending."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not is_ending(pod)
