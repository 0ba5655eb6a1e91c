"""The Kubernetes target passes the suite that every target passes, with real pods behind the real API."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import FaultyApi
from tests.kubernetes.rooms import Room, room
from tests.kubernetes.through import inside, json_of, shelf
from tests.kubernetes.worlds import ALIVE, HASTY, PROGRAM, QUICK, World, python, world
from tidegate.errors import StepFailed
from tidegate.model.address import url_variable
from tidegate.model.component import Hook, Kind, Release
from tidegate.model.digest import short
from tidegate.model.pins import Resource
from tidegate.model.step import Run
from tidegate.ports.target import Epoch
from tidegate.testing.target_conformance import Behaviour, TargetConformance

MIGRATING = Path(__file__).with_name("migrating.py")


class KubernetesHarness:
    """Releases that behave as asked, as programs in pods."""

    environment = "dev"

    def __init__(self, world: World, room: Room, api: FaultyApi) -> None:
        self.world = world
        self.api = api
        self.target = world.target
        self.room = room

    async def release(
        self,
        component: str,
        version: str,
        *,
        needs: tuple[str, ...] = (),
        behaviour: Behaviour = Behaviour.GOOD,
        kind: Kind = Kind.SERVICE,
        data: bool = False,
    ) -> Release:
        if kind is Kind.WORKER:
            run = "echo cannot go on; exit 3" if behaviour is Behaviour.EXITS else "exec sleep 1000"
            return self.world.add(component, version, run=run, needs=needs, health=ALIVE, kind=kind, data=data)
        verify = "exit 1" if behaviour is Behaviour.FAILS_VERIFY else 'test -n "$TIDEGATE_URL"'
        health = HASTY if behaviour is Behaviour.NEVER_HEALTHY else QUICK
        run = python(PROGRAM, behaviour.value)
        return self.world.add(component, version, run=run, needs=needs, verify=verify, health=health, data=data)

    def resource(self, version: str = "1", *, data: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Resource:
        health = HASTY if behaviour is Behaviour.NEVER_HEALTHY else QUICK
        return self.world.database(version, behaviour=behaviour.value, data=data, health=health)

    async def migration(self, version: str, *, retry: bool = False) -> Release:
        commands = [python(MIGRATING, self.room.inside, f"{what}-{version}") for what in ("migrate", "back")]
        return self.world.add("backend", version, before=Hook(commands[0], undo=commands[1], retry=retry))

    async def ran(self) -> list[str]:
        return await self.room.notes("ran")

    async def let_runs_fail(self, failing: bool) -> None:
        await (self.room.note("fail", "yes") if failing else self.room.forget("fail"))

    async def interrupt(self, step: Run) -> None:
        await self.room.note("hang", "yes")
        run = asyncio.create_task(self.target.run(step, Epoch(self.environment, 1, ("backend",))))
        while not await self.room.notes("hangs"):
            assert not run.done(), run.result()
            await anyio.sleep(0.1)
        await self.room.kill(self.world.namespace, "tidegate.dev/role=run")
        with pytest.raises(StepFailed):
            await run
        await self.room.forget("hang")

    async def given(self, component: str, resource: str) -> str:
        return str((await json_of(self.world, component, "/env"))[url_variable(resource)])

    async def write(self, owner: str, text: str) -> None:
        await shelf(self.world, owner, f"printf %s {shlex.quote(text)} >/data/note")

    async def read(self, owner: str) -> str | None:
        return await shelf(self.world, owner, "cat /data/note")

    async def answers(self, component: str) -> Mapping[str, str]:
        answer = await json_of(self.world, component, "/")
        names = {short(name): name for name in self.world.known}
        return {callee: names.get(release, release) for callee, release in answer.items()}

    @asynccontextmanager
    async def traffic(self, component: str) -> AsyncIterator[None]:
        async with inside(self.world, component) as call:
            task = asyncio.create_task(call())
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def blind(self) -> None:
        self.api.down()


class TestKubernetesTarget(TargetConformance):
    """All promises of the suite."""

    @pytest.fixture
    async def harness(self, cluster: Cluster, namespace_name: str, tmp_path: Path) -> AsyncIterator[KubernetesHarness]:
        """A namespace of its own for each test, and a way to the API server that can be cut."""
        with FaultyApi(cluster.kubeconfig, cluster.context) as api:
            how = {"kubeconfig": api.kubeconfig(tmp_path)}
            async with world(cluster, namespace_name, **how) as made, room(cluster) as own:
                yield KubernetesHarness(made, own, api)
