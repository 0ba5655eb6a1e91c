"""The local target passes the suite that every target passes, with real processes behind the real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.local.worlds import ALIVE, QUICK, SERVICE, World, database, get, python, until, world

from tidegate.errors import StepFailed
from tidegate.model.address import url_variable
from tidegate.model.component import Health, HealthKind, Hook, Kind, Release
from tidegate.model.digest import short
from tidegate.model.pins import Resource
from tidegate.model.step import Run
from tidegate.ports.target import Epoch
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

    async def migration(self, version: str, *, retry: bool = False) -> Release:
        note = f"{self.world.root}/ran"
        hang = f"while test -e {self.world.root}/hang; do touch {self.world.root}/hangs; sleep 0.05; done"
        end = f"test ! -e {self.world.root}/fail || {{ echo cannot go on; exit 3; }}"
        commands = [f"{hang}; echo {what}-{version} >> {note}; {end}" for what in ("migrate", "back")]
        return self.world.add("backend", version, before=Hook(commands[0], undo=commands[1], retry=retry))

    async def ran(self) -> list[str]:
        note = self.world.root / "ran"
        return note.read_text().split() if note.exists() else []

    async def let_runs_fail(self, failing: bool) -> None:
        sign = self.world.root / "fail"
        sign.touch() if failing else sign.unlink()

    async def interrupt(self, step: Run) -> None:
        hang = self.world.root / "hang"
        hang.touch()
        run = asyncio.create_task(self.target.run(step, Epoch(self.environment, 1, ("backend",))))
        await until((self.world.root / "hangs").exists)
        book = self.world.state / "data" / self.environment / ".runs.json"
        os.killpg(json.loads(book.read_text())["runs"][-1]["pid"], signal.SIGKILL)
        with pytest.raises(StepFailed):
            await run
        hang.unlink()

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
