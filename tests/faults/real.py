"""Four tiny services, a worker and a migration on this machine: real processes, agent and gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil

from tests.faults.forks import below
from tests.faults.points import Points, WatchedTarget, watched_store
from tests.faults.rest import check_rest
from tests.faults.scenes import Hands, Work
from tests.local.worlds import World, end_all, places, python
from tidegate.composition import SystemClock
from tidegate.drivers.local.ports import PortRegistry
from tidegate.model.component import Health, HealthKind, Hook, Kind
from tidegate.model.digest import short
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.ports.clock import Clock
from tidegate.stores.sql import SqlStore

SERVICE = Path(__file__).with_name("service.py")
HEALTH = Health(HealthKind.HTTP, "/healthz", interval=100, timeout=1000, start_timeout=30_000, failures=5)
ALIVE = Health(HealthKind.ALIVE, interval=100)
SERVICES = "abcd"
PATIENCE = 30.0  # seconds for what goes on by itself to come to rest


class LaterClock(SystemClock):
    """Is some seconds fast."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        """As `Clock.now`."""
        return super().now() + self._seconds


@dataclass
class Shop:
    """A project of this test; `work` grows by a version whenever somebody wants one."""

    world: World
    work: Work

    def version(self, number: int) -> Pins:
        """Each needs the one before, the worker the last service; the first service migrates."""
        if number in self.work.versions:
            return self.work.versions[number]
        pins: dict[str, Pin] = {}
        noted = self.world.root / "migrations"
        migration = Hook(f"echo {number} >> {noted}", f"echo not {number} >> {noted}", retry=True)
        for place, name in enumerate(SERVICES):
            made = self.world.add(
                name,
                str(number),
                run=python(SERVICE),
                health=HEALTH,
                needs=tuple(SERVICES[max(0, place - 1) : place]),
                verify="true",
                before=migration if name == "a" else None,
            )
            pins[name] = Pin(made.digest, "", Shape())
        needs = (SERVICES[-1],)
        made = self.world.add("w", str(number), run="exec sleep 1000", health=ALIVE, kind=Kind.WORKER, needs=needs)
        pins["w"] = Pin(made.digest, "", Shape())
        self.work.versions[number] = pins  # type: ignore[index]
        return pins

    def doing(
        self,
        holder: str,
        act: Callable[[Hands], Awaitable[Any]],
        points: Points | None = None,
        *,
        clock: Clock | None = None,
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """What one process does from its start to its end."""

        async def whole() -> None:
            async with self.hands(holder, points or Points(), clock or SystemClock()) as hands:
                await act(hands)

        return whole

    @asynccontextmanager
    async def hands(self, holder: str, points: Points, clock: Clock) -> AsyncIterator[Hands]:
        """A process at this project."""
        store = SqlStore.open(self.world.root / "store.db", clock)
        target = self.world.another_target()
        try:
            for each in self.world.known.values():
                await store.put_release(each)
            yield Hands(watched_store(store, points), WatchedTarget(target, points), self.world.known, holder, 1)
        finally:
            await target.close()
            await store.close()

    async def rests(self, hands: Hands, *may: int, told_once: bool = True) -> int:
        """Wait until it rests at one of these versions, which is returned, with no process and no port left over;
        fails with what is wrong when it does not."""
        with anyio.move_on_after(PATIENCE) as scope:
            while True:
                try:
                    version = await check_rest(hands, self.work, may=may, told_once=told_once)
                    await self._check_nothing_left(hands)
                    await self._check_answers(hands, version)
                except AssertionError:
                    if scope.cancel_called or anyio.current_time() > scope.deadline - 1:
                        raise
                    await asyncio.sleep(0.05)
                else:
                    return version
        raise AssertionError(f"not within {PATIENCE} s")

    async def _check_nothing_left(self, hands: Hands) -> None:
        seen = await hands.target.observe("dev")
        known = {instance.pid for group in seen.groups.values() for instance in group.instances}
        running = self.groups()
        known |= {self.agent(), self.gateway()}
        assert running.keys() == known, f"left over: {running}" if running.keys() - known else f"dead: {known}"
        names = {address.name for address in seen.groups}
        for name in PortRegistry(Path(os.environ["TIDEGATE_STATE_DIR"]), self.world.root.resolve()).names():
            if group := re.search(r"[a-z]-r\d+", name):
                assert group[0] in names, f"{name} is a lost port"

    async def _check_answers(self, hands: Hands, version: int) -> None:
        """What users get is that version, all the way down."""
        url = (await hands.target.observe("dev")).urls["d"]
        host, port = url.removeprefix("http://").split(":")
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = (await reader.read()).decode()
                writer.close()
        except (OSError, TimeoutError) as error:
            raise AssertionError("nobody answers") from error
        took_part = answer.partition("\r\n\r\n")[2].splitlines()
        pins = self.work.versions[version]
        wanted = [f"{name} {short(pins[name].release)}" for name in reversed(SERVICES)]
        assert took_part == wanted

    # What can be killed

    def agent(self) -> int:
        """Its pid; 0 when none runs."""
        return int(self.world.agent().get("pid", 0))

    def gateway(self) -> int:
        """Its pid; 0 when none runs."""
        with suppress(OSError, ValueError, KeyError):
            return int(json.loads((self.world.state / "agent" / "gateway" / "process.json").read_text())["pid"])
        return 0

    def instances(self) -> list[int]:
        """Their pids, in the order of their birth."""
        return sorted(self.groups().keys() - {self.agent(), self.gateway()})

    def groups(self) -> dict[int, str]:
        """Process group -> one of its commands, of all living processes of this project but this one's."""
        found = {}
        for process in below(self.world.root.parent):
            with suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) != os.getpgid(0):
                    found[os.getpgid(process.pid)] = " ".join([*process.cmdline(), process.cwd()])
        return found


@contextmanager
def shop() -> Iterator[Shop]:
    """A project in which version 1 runs; whatever a test leaves there is ended."""
    with places() as folder:
        world = World(folder)
        made = Shop(world, Work({}, world.known))

        async def begin(hands: Hands) -> None:
            assert (await hands.apply(made.version(1))).succeeded

        async def end() -> None:
            await end_all(world)

        try:
            made.version(1)
            anyio.run(made.doing("here:0:0", begin))
            yield made
        finally:
            anyio.run(end)
