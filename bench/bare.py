"""The floor: the same programs from the same artifacts, started by nobody but a loop."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.apply import RealClock
from bench.project import Failed, Project, Spent, processor_time
from tidegate.stores.sql import SqlStore

PAUSE = 0.02
PATIENCE = 60.0


@dataclass(frozen=True)
class Program:
    """A command in its folder, with all of its environment; healthy when `path` answers 200."""

    command: str
    folder: str
    port: int
    path: str
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Built:
    """A release as it lies on this machine: command, folder, health path."""

    component: str
    command: str
    folder: str
    path: str


async def built(project: Project, *, newest: bool = True) -> dict[str, Built]:
    """Component -> its newest release, or its oldest."""
    found: dict[str, Built] = {}
    store = SqlStore.open(project.state / "store.db", RealClock())
    try:
        for release in await store.releases():
            if newest and release.component in found:
                continue
            artifact = (await store.artifacts(release.digest))[0]
            runtime = release.runtime
            folder = str(Path(artifact.location) / runtime.folder)
            found[release.component] = Built(release.component, runtime.run, folder, runtime.health.check)
    finally:
        await store.close()
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def surroundings(port: int, **more: str) -> dict[str, str]:
    """What a process gets, beside `more`."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**given, "PORT": str(port), **more}


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start it; it leads its own process group."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"exec {program.command}"],
        cwd=program.folder,
        env=dict(program.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """SIGTERM to all, and wait for all; SIGKILL after ten seconds."""
    waiting = list(processes)
    for process in waiting:
        process.terminate()
    for process in waiting:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def answers(programs: Iterable[Program]) -> None:
    """Until each answers its health path. Raises `Failed` after a minute."""
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for program in programs:
            group.create_task(_answers(program))


async def _answers(program: Program) -> None:
    while not await _asked(program):  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(PAUSE)


async def _asked(program: Program) -> bool:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
        try:
            writer.write(f"GET {program.path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            return (await reader.readline()).split()[1:2] == [b"200"]
        finally:
            writer.close()
    return False


def all_at_once(programs: list[Program]) -> Spent:
    """From the first start until every program answered; they are ended then."""
    begun = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.extend(start(program) for program in programs)  # what was started counts even if the next cannot be
        try:
            asyncio.run(answers(programs))
        except TimeoutError as error:
            raise Failed(f"not all of {len(programs)} bare processes answered") from error
        return Spent(time.perf_counter() - begun, sum(processor_time(process.pid) for process in running))
    finally:
        stop(running)


def one_by_one(programs: list[Program]) -> float:
    """Seconds that stopping and starting these takes, one after the other, until each answers: a plain restart."""
    running = {}
    try:
        for program in programs:
            running[program.port] = start(program)
        asyncio.run(answers(programs))
        begun = time.perf_counter()
        for program in programs:
            stop([running[program.port]])
            running[program.port] = start(program)
            asyncio.run(answers([program]))
        return time.perf_counter() - begun
    finally:
        stop(running.values())
