"""What instances and resources print: the logs of their pods, of the program only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tidegate.drivers.kubernetes.area import LOOK, Area, label
from tidegate.drivers.kubernetes.kinds import POD
from tidegate.drivers.kubernetes.names import GROUP, INSTANCE, PROGRAM, RESOURCE, ROLE, fit, group_name
from tidegate.drivers.kubernetes.objects.resources import ROLE_OF_RESOURCES
from tidegate.errors import TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.ports.target import LogLine

Json = dict[str, Any]
Owners = Mapping[tuple[str, str], str]  # role and label of a pod -> the component or resource


class Logs:
    """Shows what is printed in one environment."""

    def __init__(self, area: Area) -> None:
        self._area = area

    async def lines(
        self, groups: Sequence[GroupAddress], resources: Sequence[str], *, tail: int, follow: bool
    ) -> AsyncIterator[LogLine]:
        """As `FollowsLogs.logs`. What a pod printed is gone with it."""
        owners = {(INSTANCE, group_name(group)): group.component for group in groups}
        owners |= {(ROLE_OF_RESOURCES, fit(name)): name for name in resources}
        await self._area.mirror.ready()
        pods = self._pods(owners)
        for pod in pods:
            for text in await self._tail(pod, tail):
                yield self._line(owners, pod, text)
        if follow:
            async for line in self._follow(owners, {_uid(pod): _starts(pod) for pod in pods}):
                yield line

    def _pods(self, owners: Owners) -> list[Json]:
        pods = [pod for pod in self._area.mirror.objects(POD).values() if _key(pod) in owners]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def _line(self, owners: Owners, pod: Json, text: str) -> LogLine:
        return LogLine(owners[_key(pod)], pod["metadata"]["name"], text)

    async def _tail(self, pod: Json, tail: int) -> list[str]:
        """The last lines of a pod; what it printed before its last restart counts too."""
        last: deque[str] = deque(maxlen=tail)
        starts = _starts(pod)
        for previous in (True, False):
            if starts > (1 if previous else 0):
                with suppress(_Gone):
                    async for text in self._print(pod, tail=tail, previous=previous):
                        last.append(text)
        return list(last)

    async def _print(
        self, pod: Json, *, tail: int | None, follow: bool = False, previous: bool = False
    ) -> AsyncIterator[str]:
        """Raises `_Gone` if there is nothing of the container (any more), `TargetUnreachable`."""
        area, name = self._area, pod["metadata"]["name"]
        try:
            async for text in area.api.logs(area.namespace, name, PROGRAM, tail=tail, follow=follow, previous=previous):
                yield text
        except TargetUnreachable:
            raise
        except TargetError as error:
            raise _Gone from error

    async def _follow(self, owners: Owners, shown: dict[str, int]) -> AsyncIterator[LogLine]:
        """New lines of all pods that are there or come. `shown` is how often each was started when its last lines were
        shown."""
        lines: asyncio.Queue[LogLine] = asyncio.Queue(maxsize=1000)
        watching = asyncio.create_task(self._watch(owners, shown, lines))
        try:
            while True:
                waiting = asyncio.ensure_future(lines.get())
                await asyncio.wait([waiting, watching], return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                    watching.result()  # raises what ended it
                    return
                yield waiting.result()
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, owners: Owners, shown: dict[str, int], lines: asyncio.Queue[LogLine]) -> None:
        area = self._area
        async with asyncio.TaskGroup() as tasks:
            followed: set[str] = set()
            while True:
                for pod in self._pods(owners):
                    if _uid(pod) not in followed:
                        followed.add(_uid(pod))
                        tasks.create_task(self._follow_pod(owners, pod, shown.get(_uid(pod), 0), lines))

                def new() -> bool | None:
                    return True if {_uid(pod) for pod in self._pods(owners)} - followed else None

                await area.until(new, seconds=LOOK)

    async def _follow_pod(self, owners: Owners, pod: Json, shown: int, lines: asyncio.Queue[LogLine]) -> None:
        """Each time its program was started, from where it was `shown`, until the pod is gone."""
        area, name = self._area, pod["metadata"]["name"]
        seen = shown

        def started() -> int | None:
            now = area.mirror.objects(POD).get(name)
            if now is None or _uid(now) != _uid(pod):
                return -1
            return _starts(now) if _starts(now) > seen or (_starts(now) == seen == shown) else None

        while True:
            while (starts := await area.until(started, seconds=LOOK)) is None:
                pass
            if starts < 0:
                return
            tail = 0 if starts == shown else None  # its last lines were shown
            shown, seen = -1, starts
            with suppress(_Gone):
                async for text in self._print(pod, tail=tail, follow=True):
                    await lines.put(self._line(owners, pod, text))


class _Gone(Exception):
    """There is nothing of the container."""


def _key(pod: Json) -> tuple[str, str]:
    role = label(pod, ROLE)
    return role, label(pod, GROUP if role == INSTANCE else RESOURCE)


def _uid(pod: Json) -> str:
    return str(pod["metadata"]["uid"])


def _starts(pod: Json) -> int:
    """How often its program was started; 0 while it has yet to be."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] == PROGRAM:
            waits = "waiting" in container.get("state", {})
            restarts = int(container.get("restartCount", 0))
            return restarts if waits else restarts + 1
    return 0
