"""The local target passes the suite that every target passes, with real processes behind the real gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.local.worlds import ALIVE, QUICK, SERVICE, World, database, get, python, world

from tidegate.model.address import url_variable
from tidegate.model.component import Health, HealthKind, Kind, Release
from tidegate.model.digest import short
from tidegate.model.pins import Resource
from tidegate.testing.target_conformance import Behaviour, TargetConformance

HASTY = Health(HealthKind.HTTP, "/healthz", interval=100, timeout=500, start_timeout=700, failures=2)


class LocalHarness:
    """Releases that behave as asked, as programs."""

    environment = "dev"

    def __init__(self, world: World) -> None:
        self.world = world
        self.target = world.target

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
            run = "echo cannot go on; exit 3" if behaviour is Behaviour.EXITS else "sleep 1000"
            return self.world.add(component, version, run=run, needs=needs, health=ALIVE, kind=kind, data=data)
        verify = "exit 1" if behaviour is Behaviour.FAILS_VERIFY else 'test -n "$TIDEGATE_URL"'
        health = HASTY if behaviour is Behaviour.NEVER_HEALTHY else QUICK
        run = python(SERVICE, behaviour.value)
        return self.world.add(component, version, run=run, needs=needs, verify=verify, health=health, data=data)

    def resource(self, version: str = "1", *, data: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Resource:
        health = HASTY if behaviour is Behaviour.NEVER_HEALTHY else QUICK
        return database(version, behaviour=behaviour.value, data=data, health=health)

    async def given(self, component: str, resource: str) -> str:
        urls = (await self.target.observe(self.environment)).urls
        return str((await get(urls[component], "/env"))[1][url_variable(resource)])

    async def write(self, owner: str, text: str) -> None:
        self._note(owner).write_text(text)

    async def read(self, owner: str) -> str | None:
        return self._note(owner).read_text() if self._note(owner).parent.exists() else None

    def _note(self, owner: str) -> Path:
        return self.world.state / "data" / self.environment / owner / "note"

    async def answers(self, component: str) -> Mapping[str, str]:
        urls = (await self.target.observe(self.environment)).urls
        status, answer = await get(urls[component])
        assert status == 200
        names = {short(name): name for name in self.world.known}
        return {callee: names.get(release, release) for callee, release in answer.items()}

    @asynccontextmanager
    async def traffic(self, component: str) -> AsyncIterator[None]:
        url = (await self.target.observe(self.environment)).urls[component]

        async def call() -> None:
            while True:
                await get(url)
                await asyncio.sleep(0.02)

        task = asyncio.create_task(call())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def blind(self) -> None:
        os.kill(self.world.agent()["pid"], signal.SIGSTOP)

    def see_again(self) -> None:
        """Only for the end of a test."""
        with suppress(KeyError, ProcessLookupError):
            os.kill(self.world.agent()["pid"], signal.SIGCONT)


@pytest.mark.gateway
class TestLocalTarget(TargetConformance):
    """All promises of the suite."""

    @pytest.fixture
    async def harness(self) -> AsyncIterator[LocalHarness]:
        """A project of its own for each test."""
        async with world() as made:
            harness = LocalHarness(made)
            try:
                yield harness
            finally:
                harness.see_again()
