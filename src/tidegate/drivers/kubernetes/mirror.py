"""What a namespace holds of ours, kept up to date: listed once, then watched. Shared by all steps of an environment.

However many wait, the API server is asked once per kind; so the number of requests does not grow with the environment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from types import MappingProxyType
from typing import Any, TypeVar

import anyio

from tidegate.drivers.kubernetes.client import Api, GoneError, Listing, TryAgain
from tidegate.drivers.kubernetes.kinds import ApiKind
from tidegate.drivers.kubernetes.names import MANAGED_BY, TIDEGATE
from tidegate.drivers.kubernetes.transport import FIRST_PAUSE, Trouble
from tidegate.errors import TargetError

Json = dict[str, Any]
T = TypeVar("T")
LOOK = 1.0  # seconds between two looks when nothing changes: what is waited for may depend on the time


class Mirror:
    """The objects of some kinds in one namespace that carry the label of Tidegate. Starts when it is first waited for.

    Never takes blindness for absence: all but `close` raise `TargetUnreachable` when the API server was away for its
    patience, and what it refused (`ForbiddenError`). Who waits after that begins anew.
    """

    def __init__(self, api: Api, namespace: str, kinds: Sequence[ApiKind]) -> None:
        self._api = api
        self._views = {kind: _View(api, namespace, kind, self._tell) for kind in kinds}
        self._changed = asyncio.Event()

    async def ready(self) -> None:
        """Everything was listed at least once since this object was made, or began anew."""
        for view in self._views.values():
            view.begin()
        await self._seeing()

    def objects(self, kind: ApiKind) -> Mapping[str, Json]:
        """Those of one kind by name, as they were last seen; only after `ready` or `until`. Not to be changed."""
        self._check()
        view = self._views[kind]
        assert view.listed, "what was never seen cannot be told from what is not there"
        return MappingProxyType(view.objects)

    def saw(self, kind: ApiKind, obj: Json) -> None:
        """Take what a request of our own answered as seen, before the watch brings it."""
        self._views[kind].saw(obj)

    async def until(self, look: Callable[[], T | None], *, seconds: float) -> T | None:
        """What `look` gives as soon as it is not None, asked at once, at each change and each second.

        None when the time is over; it is asked at least once.
        """
        end = time.monotonic() + seconds
        await self.ready()
        while True:
            await self._seeing()
            found = look()
            left = end - time.monotonic()
            if found is not None or left <= 0:
                return found
            await self._change(min(left, LOOK))

    async def close(self) -> None:
        """Nothing is watched any more."""
        for view in self._views.values():
            await view.close()

    async def _seeing(self) -> None:
        self._check()
        while not all(view.seeing for view in self._views.values()):
            await self._change(LOOK)
            self._check()

    def _check(self) -> None:
        for view in self._views.values():
            view.check()

    def _tell(self) -> None:
        former, self._changed = self._changed, asyncio.Event()
        former.set()

    async def _change(self, seconds: float) -> None:
        changed = self._changed
        with anyio.move_on_after(seconds):
            await changed.wait()


class _View:
    """The objects of one kind. `listed`: once at least; `seeing`: also since it began anew."""

    def __init__(self, api: Api, namespace: str, kind: ApiKind, tell: Callable[[], None]) -> None:
        self.objects: dict[str, Json] = {}
        self.listed = self.seeing = False
        self._api = api
        self._namespace = namespace
        self._kind = kind
        self._tell = tell
        self._labels = {MANAGED_BY: TIDEGATE}
        self._version = ""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Follow what happens, unless that is done already."""
        if self._task is None or self._task.done():
            self.seeing, self._version = False, ""
            self._task = asyncio.create_task(self._follow())
            self._task.add_done_callback(self._over)

    def check(self) -> None:
        """Raises why it is not followed any more."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, TargetError):  # that was told to who waited
                await self._task
            self._task = None

    async def _follow(self) -> None:
        """Until cancelled, or until it makes no sense to go on."""
        trouble = Trouble(self._api.patience)
        while True:
            try:
                if not self._version:
                    self._take(await self._api.list(self._kind, self._namespace, self._labels))
                await self._watch(trouble)
            except GoneError:
                self._version = ""
            except TryAgain as error:
                pause = trouble.pause(error)
                if pause is None:
                    raise self._api.unreachable(error) from error
                await anyio.sleep(pause)
            await anyio.sleep(FIRST_PAUSE)  # should somebody on the way end all watches at once

    def saw(self, obj: Json) -> None:
        if _number(obj) > max(int(self._version or 0), self._known(obj)):
            self._put(obj)
            self._tell()

    async def _watch(self, trouble: Trouble) -> None:
        events = self._api.watch(self._kind, self._namespace, self._labels, self._version)
        async with aclosing(events):
            async for what, obj in events:
                trouble.over()
                if _number(obj) >= self._known(obj):
                    if what == "DELETED":
                        self.objects.pop(obj["metadata"]["name"], None)
                    elif what != "BOOKMARK":
                        self._put(obj)
                self._version = obj["metadata"]["resourceVersion"]
                self._tell()
        trouble.over()

    def _take(self, found: Listing) -> None:
        listed = {each["metadata"]["name"]: each for each in found.items}
        younger = {name: each for name, each in self.objects.items() if _number(each) > int(found.version)}
        self.objects = listed | younger
        self._version = found.version
        self.listed = self.seeing = True
        self._tell()

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # looked at, for asyncio; `check` raises it
            self._tell()

    def _put(self, obj: Json) -> None:
        named = {"apiVersion": self._kind.api_version, "kind": self._kind.kind}
        self.objects[obj["metadata"]["name"]] = {**named, **obj}

    def _known(self, obj: Json) -> int:
        known = self.objects.get(obj["metadata"].get("name", ""))
        return 0 if known is None else _number(known)


def _number(obj: Json) -> int:
    """Versions of one kind grow; so the younger of two states of an object can be told."""
    return int(obj["metadata"]["resourceVersion"])
