"""Services in a chain, a worker and a migration on the cluster, with their own store, and those who change them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tests.faults.forks import ended, fork
from tests.faults.points import Points, watched_store
from tests.faults.rest import check_rest
from tests.faults.scenes import NEXT, Hands, Work
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.through import json_of
from tests.kubernetes.worlds import ALIVE, PROGRAM, QUICK, World, python
from tidegate.composition import SystemClock
from tidegate.drivers.kubernetes.area import label
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.grounds import FOREIGN
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, JOB, POD, SERVICE
from tidegate.drivers.kubernetes.names import COMPONENT, EDGE, ENTRY, GROUP, ROLE, fit, group_name, labels
from tidegate.drivers.kubernetes.verifying import VERIFY
from tidegate.errors import TargetError
from tidegate.execution import Applied, Fate
from tidegate.model.cluster import ClusterShape
from tidegate.model.component import Hook, Kind
from tidegate.model.digest import short
from tidegate.model.observed import Observed
from tidegate.model.pins import Pin, Pins, Secret, Shape
from tidegate.stores.sql import SqlStore

SMALL = ClusterShape(requests=(("cpu", "10m"), ("memory", "32Mi")))
SERVES = f"export LISTEN=0.0.0.0; {python(PROGRAM)}"  # no proxy is before it
PATIENCE = 60.0  # seconds for what goes on by itself to come to rest
PROCESS = 180  # seconds after which the kernel ends a process that hangs
NOTHING_HAPPENED = 3  # exit status of an executor that never came to its fatal point
READ_ONLY = ("/apis/authorization.k8s.io/",)


class WatchedApi(Api):
    """Every request that changes something passes two points."""

    points = Points()

    async def raw(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """As `Api.raw`."""
        if method == "GET" or path.startswith(READ_ONLY):
            return await super().raw(method, path, **how)
        what = f"{method} {'/'.join(path.split('/')[-2:])}"
        self.points.reach(f"before {what}")
        try:
            return await super().raw(method, path, **how)
        finally:
            self.points.reach(f"after {what}")


@dataclass
class Shop:
    """An environment of this test. `work` grows by a version whenever somebody wants one; `services` are names, each
    needs the one before, and the worker the last; the first one has a migration and a secret."""

    cluster: Cluster
    namespace: str
    folder: Path
    services: str = "abcd"
    kubeconfig: Path | None = None
    patience: float = 30.0
    work: Work = field(default_factory=lambda: Work({}, {}))

    def version(self, number: int) -> Pins:
        """What it consists of."""
        if number in self.work.versions:
            return self.work.versions[number]
        world = self.world()
        pins: dict[str, Pin] = {}
        for place, name in enumerate(self.services):
            made = world.add(
                name,
                str(number),
                run=SERVES,
                needs=tuple(self.services[max(0, place - 1) : place]),
                health=QUICK,
                before=Hook("true", undo="true") if place == 0 else None,
                verify="true" if place == 1 else None,
            )
            env = (("TOKEN", Secret("env:TOKEN")),) if place == 0 else ()
            pins[name] = Pin(made.digest, "", Shape(cluster=SMALL, env=env))
        needs = (self.services[-1],)
        made = world.add("w", str(number), run="exec sleep 1000", health=ALIVE, kind=Kind.WORKER, needs=needs)
        pins["w"] = Pin(made.digest, "", Shape(cluster=SMALL))
        self.work.versions[number] = pins  # type: ignore[index]
        return pins

    def world(self) -> World:
        """The releases, and another way to the cluster."""
        made = World(self.cluster, self.namespace, kubeconfig=self.kubeconfig, proxied=False)
        made.known = self.work.releases  # type: ignore[assignment]
        return made

    @asynccontextmanager
    async def hands(
        self, holder: str, points: Points | None = None, *, patience: float | None = None
    ) -> AsyncIterator[Hands]:
        """A process at this environment."""
        points, world = points or Points(), self.world()
        known = world.known
        api = WatchedApi.connect(
            self.cluster.context,
            kubeconfig=world.kubeconfig,
            patience=self.patience if patience is None else patience,
        )
        assert isinstance(api, WatchedApi)
        api.points = points
        target = world.another_target(api=api)
        store = SqlStore.open(self.folder / "store.db", SystemClock())
        try:
            for each in list(known.values()):
                await store.put_release(each)
            yield Hands(watched_store(store, points), target, known, holder, observe=0)
        finally:
            await target.close()
            await store.close()

    def doing(
        self, holder: str, act: Callable[[Hands], Awaitable[Any]], points: Points | None = None
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """What one process does from its start to its end."""

        async def whole() -> None:
            async with self.hands(holder, points) as hands:
                await act(hands)

        return whole

    def begin(self) -> None:
        """Version 1 runs."""

        async def up(hands: Hands) -> None:
            applied = await hands.apply(self.version(1))
            assert applied.succeeded, told(applied)

        self.version(1)
        anyio.run(self.doing("here:0:0", up))

    def change(self, holder: str, wanted: int, points: Points) -> int:
        """How a process ended that was on its way to a version, and to which something happened on it."""

        async def up(hands: Hands) -> None:
            applied = await hands.apply(self.version(wanted))
            assert all(result.fate is not Fate.UNSETTLED for result in applied.changes), told(applied)
            if not points.ended:
                os._exit(NOTHING_HAPPENED)

        self.version(wanted)
        return ended(fork(self.doing(holder, up, points), patience=PROCESS))

    def settled(self, *may: int) -> int:
        """Do what the next command does first; the version that is there then, which is one of these."""
        found: list[int] = []

        async def settle(hands: Hands) -> None:
            with anyio.fail_after(PROCESS):
                await hands.recover()
            found.append(await self.rests(hands, *may))

        anyio.run(self.doing(NEXT, settle))
        return found[0]

    async def rests(self, hands: Hands, *may: int, told_once: bool = True) -> int:
        """Wait until it rests at one of these versions, which is returned, with nothing left over; fails with what is
        wrong when it does not."""
        world = self.world()
        end = anyio.current_time() + PATIENCE
        try:
            while True:
                try:
                    version = await check_rest(hands, self.work, may=may, told_once=told_once)
                    observed = await hands.target.observe("dev")
                    check_nothing_left(await everything(world.api, self.namespace), observed, self.work, version)
                    await self._check_answers(world, version)
                except AssertionError:
                    if anyio.current_time() > end:
                        raise
                    await asyncio.sleep(0.2)
                else:
                    return version
        finally:
            await world.target.close()

    async def _check_answers(self, world: World, version: int) -> None:
        """What users get is that version, all the way down."""
        pins = self.work.versions[version]
        try:
            answer = await json_of(world, self.services[-1], "/")
        except TargetError as error:
            raise AssertionError(f"nobody answers: {error}") from error
        assert answer == {name: short(pins[name].release) for name in self.services}


def told(applied: Applied) -> str:
    """What became of the changes, and why."""
    return "\n".join(f"{each.fate}: {each.failure!s}; {each.unfinished!s}" for each in applied.changes)


async def everything(api: Api, namespace: str) -> Sequence[dict[str, Any]]:
    """All that Tidegate made there, of any kind, for `dev`."""
    wanted = labels("dev")
    found = await asyncio.gather(*(api.list(kind, namespace, wanted) for kind in FOREIGN))
    return [each for listing in found for each in listing.items]


def check_nothing_left(objects: Sequence[dict[str, Any]], observed: Observed, work: Work, version: int) -> None:
    """Every object belongs to a component that is pinned and, where it is a group's, to a group that is there."""
    pins = work.versions[version]
    groups = {group_name(address) for address in observed.groups}
    for each in objects:
        about = f"{each['kind']} {each['metadata']['name']}"
        assert label(each, COMPONENT) in {"", *map(fit, pins)}, f"left over: {about}"
        assert label(each, GROUP) in {"", *groups}, f"left over: {about}"
        assert "deletionTimestamp" not in each["metadata"], f"still going: {about}"
        assert label(each, ROLE) != VERIFY, f"left over: {about}"
        if each["kind"] == JOB.kind:
            assert not each["spec"].get("suspend"), f"never let go: {about}"
            assert not each.get("status", {}).get("active"), f"still runs: {about}"
    assert sum(each["kind"] == DEPLOYMENT.kind for each in objects) == len(groups)
    assert sum(each["kind"] == POD.kind and bool(label(each, GROUP)) for each in objects) == len(groups)
    services = [each for each in objects if each["kind"] == SERVICE.kind]
    needs = sum(len(work.releases[pin.release].runtime.needs) for pin in pins.values())
    assert sum(label(each, ROLE) == EDGE for each in services) == needs
    entries = sum(work.releases[pin.release].kind is Kind.SERVICE for pin in pins.values())
    assert sum(label(each, ROLE) == ENTRY for each in services) == entries
