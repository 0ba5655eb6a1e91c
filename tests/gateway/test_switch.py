"""The promise that everything else is for: two groups that belong together are replaced together, under load, and
nobody who visits meanwhile can tell. With the real Envoy and a real process for each instance."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.gateway.groups import SLOW
from tests.gateway.worlds import edge, entry, eventually, free_port, report, upstream
from tidegate.drivers.local.gateway import Gateway, Listener, Table, Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

SWITCHES = 10
DRAIN_LIMIT = 7.0  # longer than the slowest answer, shorter than the WebSockets that never end by themselves
BODY = b"x" * 20_000


@dataclass
class Starter:
    """Starts instances in processes of their own, and ends those that are left."""

    program: asyncio.subprocess.Process
    pids: list[int] = field(default_factory=list)

    async def start(self, label: str, *, edge_port: int = 0) -> tuple[int, int]:
        """Pid and port, once it answers."""
        port = free_port()
        order = {"label": label, "port": port, "edge": f"http://127.0.0.1:{edge_port}" if edge_port else ""}
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps(order).encode() + b"\n")
        pid = int(await self.program.stdout.readline())
        self.pids.append(pid)

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return False
            writer.close()
            await writer.wait_closed()
            return True

        await eventually(listens, f"{label} listens")
        return pid, port


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.gateway.groups",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    starter = Starter(program)
    yield starter
    for pid in starter.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert program.stdin is not None
    program.stdin.close()
    await program.wait()


@dataclass(frozen=True)
class Pair:
    """A frontend and the backend of the same revision."""

    frontend: Upstream
    backend: Upstream
    edge: Listener
    pids: tuple[int, int]


@dataclass
class World:
    """What the table holds: all pairs that live, and the one that visitors get."""

    gateway: Gateway
    starter: Starter
    entry_port: int
    pairs: list[Pair] = field(default_factory=list)
    current: Pair | None = None
    switched: list[float] = field(default_factory=list)
    ended_idle: int = 0
    ended_by_limit: int = 0

    async def apply(self) -> None:
        groups = [group for pair in self.pairs for group in (pair.frontend, pair.backend)]
        to = self.current.frontend if self.current else None
        edges = [pair.edge for pair in self.pairs]
        await self.gateway.apply(Table(tuple(groups), (entry("frontend", self.entry_port, to), *edges)))

    async def prepare(self, born: int) -> Pair:
        """Both groups run, wired to each other, and nobody sees them."""
        edge_port = free_port()
        backend_pid, backend_port = await self.starter.start(str(born))
        frontend_pid, frontend_port = await self.starter.start(str(born), edge_port=edge_port)
        frontend, backend = upstream("frontend", born, frontend_port), upstream("backend", born, backend_port)
        pair = Pair(frontend, backend, edge(frontend, "backend", edge_port, backend), (frontend_pid, backend_pid))
        self.pairs.append(pair)
        await self.apply()
        return pair

    async def switch(self, pair: Pair) -> None:
        self.current = pair
        began = time.perf_counter()
        await self.apply()
        self.switched.append((time.perf_counter() - began) * 1000)

    async def retire(self, pair: Pair) -> None:
        """Wait for what is in flight, within the limit; end the processes; forget the addresses."""

        async def active() -> int:
            return await self.gateway.active(pair.frontend.name) + await self.gateway.active(pair.backend.name)

        with anyio.move_on_after(DRAIN_LIMIT) as limit:
            while await active():  # noqa: ASYNC110 - a count in another process
                await anyio.sleep(0.05)
        self.ended_by_limit += limit.cancelled_caught
        self.ended_idle += not limit.cancelled_caught
        for pid in pair.pids:  # caller first, so that it finds its backend until it is gone
            os.kill(pid, signal.SIGTERM)

            async def gone(pid: int = pid) -> bool:
                return not psutil.pid_exists(pid)

            await eventually(gone, f"process {pid} of {pair.frontend.name} ended")
        self.pairs.remove(pair)
        await self.apply()


@dataclass
class Load:
    """Visitors of all kinds, and what they met."""

    port: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    slowest: float = 0.0
    crossed: int = 0
    drained: int = 0

    def meet(self, kind: str, status: int, text: str) -> None:
        words = text.split()
        if status != 200 or (kind == "post" and words[2:] != [str(len(BODY))]):
            self.failed.append(f"{kind}: {status} {text}")
        elif words[0] != words[1]:
            self.mixed.append(f"{kind}: {text}")
        else:
            self.answered[kind] += 1

    async def pause(self, seconds: float) -> None:
        """Visitors are people: without a rest they would measure the machine, not the switch."""
        with anyio.move_on_after(seconds):
            await self.done.wait()

    async def ask(self, client: httpx.AsyncClient, kind: str, path: str, **request: object) -> None:
        began = time.perf_counter()
        method = "POST" if "content" in request else "GET"
        try:
            answer = await client.request(method, f"http://127.0.0.1:{self.port}{path}", **request)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            self.failed.append(f"{kind}: {error!r}")
            return
        if kind != "slow":
            self.slowest = max(self.slowest, time.perf_counter() - began)
        self.meet(kind, answer.status_code, answer.text)

    async def visit(self, kind: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=SLOW + 10) as client:
            while not self.done.is_set():
                if kind == "post":
                    await self.ask(client, kind, "/post", content=BODY)
                elif kind == "one connection each":
                    await self.ask(client, kind, "/get", headers={"Connection": "close"})
                else:
                    await self.ask(client, kind, "/get")
                await self.pause(0.015)

    async def visit_slowly(self) -> None:
        """A new one every half second, each taking `SLOW`."""
        async with httpx.AsyncClient(trust_env=False, timeout=SLOW + 10) as client, asyncio.TaskGroup() as tasks:
            while not self.done.is_set():
                tasks.create_task(self.ask(client, "slow", "/slow"))
                await self.pause(0.5)

    async def watch(self, lifetime: float) -> None:
        """A WebSocket that the visitor closes after `lifetime`, or the group when its time to drain is over."""
        while not self.done.is_set():
            try:
                async with connect(f"ws://127.0.0.1:{self.port}/live", proxy=None) as socket:
                    await self._talk(socket, time.monotonic() + lifetime)
            except ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code != 1012:  # "service restart"
                    self.failed.append(f"websocket: {closed!r}")
                self.drained += 1
            except (OSError, TimeoutError) as error:
                self.failed.append(f"websocket: {error!r}")

    async def _talk(self, socket: ClientConnection, until: float) -> None:
        first = ""
        async with httpx.AsyncClient(trust_env=False) as client:
            while not self.done.is_set() and time.monotonic() < until:
                await socket.send("?")
                text = str(await socket.recv())
                first = first or text
                self.meet("websocket message", 200, text)
                if text != first:
                    self.mixed.append(f"websocket: {first}, later {text}")
                await self.pause(0.1)
            # Whoever opens a page now: has traffic moved on while this WebSocket stayed?
            now = await client.get(f"http://127.0.0.1:{self.port}/get")
            self.crossed += now.text != first


@pytest.mark.exhaustive  # by default the whole product does it: tests/e2e/test_switch_under_load.py
async def test_ten_switches_under_load_fail_no_request_and_mix_no_answer(gateway: Gateway, starter: Starter) -> None:
    """Frontend and backend are replaced together ten times, while visitors come with kept-alive connections, with a
    new one for each request, with bodies of 20 kB, for answers that take 5 s and with WebSockets. None fails, none is
    answered by new and old together, and old processes end when nothing is in flight or the drain limit has passed."""
    world = World(gateway, starter, free_port())
    await world.switch(await world.prepare(0))
    load = Load(world.entry_port)
    began = time.monotonic()
    async with asyncio.TaskGroup() as retiring, asyncio.TaskGroup() as visitors:
        for kind in ("kept alive", "kept alive", "kept alive", "one connection each", "one connection each", "post"):
            visitors.create_task(load.visit(kind))
        visitors.create_task(load.visit_slowly())
        for lifetime in (2.5, 3.5, 60.0):
            visitors.create_task(load.watch(lifetime))
        for born in range(1, SWITCHES + 1):
            old = world.current
            assert old is not None
            pair = await world.prepare(born)
            before = load.answered["kept alive"]
            await world.switch(pair)
            retiring.create_task(world.retire(old))

            async def visited(before: int = before) -> bool:
                return load.answered["kept alive"] >= before + 60

            await eventually(visited, "60 more visits")
        load.done.set()

    answers = ", ".join(f"{count} {kind}" for kind, count in sorted(load.answered.items()))
    report(
        f"{SWITCHES} switches in {time.monotonic() - began:.1f} s, each {min(world.switched):.0f}–"
        f"{max(world.switched):.0f} ms; {sum(load.answered.values())} answers ({answers}), "
        f"{len(load.failed)} failed, {len(load.mixed)} mixed, slowest but the slow {load.slowest * 1000:.0f} ms; "
        f"{load.crossed} WebSockets lived across a switch, {load.drained} drained; "
        f"{world.ended_idle} pairs ended idle, {world.ended_by_limit} at the limit"
    )
    assert load.failed == []
    assert load.mixed == []
    assert load.crossed >= 1
    assert load.answered["slow"] >= 5
    assert world.ended_idle + world.ended_by_limit == SWITCHES
    assert [pair.frontend.name for pair in world.pairs] == [f"dev/frontend-r{SWITCHES}"]
    assert await gateway.active(f"dev/frontend-r{SWITCHES}") == 0
    assert sum(psutil.pid_exists(pid) for pid in starter.pids) == 2
