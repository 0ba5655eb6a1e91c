"""A project in a temporary folder with releases that run, and its local target."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from tidegate.drivers.local.target import LocalTarget
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.errors import NotInStore, TidegateError
from tidegate.model.address import GroupAddress
from tidegate.model.component import Artifact, Health, HealthKind, Kind, Release, Runtime
from tidegate.model.digest import digest, short
from tidegate.model.pins import Pin, Resource, Shape, Value
from tidegate.model.step import EntryMove, Prepare, Replace, Retire, Route, Start
from tidegate.ports.target import Epoch, Outcome

SERVICE = Path(__file__).with_name("service.py")
QUICK = Health(HealthKind.HTTP, "/healthz", interval=100, timeout=500, start_timeout=15_000, failures=2)
ALIVE = Health(HealthKind.ALIVE, interval=100)


def database(version: str = "1", *, behaviour: str = "good", data: bool = False, **spec: Any) -> Resource:
    """What stands for a database: it listens, and its address is none that HTTP is spoken at."""
    run = f"TIDEGATE_COMPONENT=db TIDEGATE_RELEASE={version} {python(SERVICE, behaviour)}"
    how = {"run": run, "url": f"db://127.0.0.1:$PORT/{version}", "health": QUICK, "data": data, "grace": 3000}
    return Resource(**{**how, **spec})


def python(script: Path | str, *arguments: str) -> str:
    """A command that starts an interpreter with little else, since tests start many."""
    return " ".join([sys.executable, "-I", "-S", str(script), *arguments])


class World:
    """Releases, artifacts and blobs in memory (`ReleaseSource`, `Artifacts`); processes and gateway are real."""

    environment = "dev"

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir(exist_ok=True)
        self.state = self.root / ".tidegate"
        self.known: dict[str, Release] = {}
        self.blobs: dict[str, bytes] = {}
        self.compared = 0
        self.secrets = EnvironmentAndFileSecrets(self.root, {"TOKEN": "s3cr3t-value"})
        self.target = self.another_target()

    def another_target(self) -> LocalTarget:
        """As another command on the same project has it."""
        return LocalTarget(self.root, self.state, self, self, self.secrets)

    def add(
        self,
        component: str,
        version: str = "1",
        *,
        run: str = python(SERVICE),
        health: Health = QUICK,
        kind: Kind = Kind.SERVICE,
        **runtime: Any,
    ) -> Release:
        """A release whose artifact is the project folder."""
        how = Runtime(**{"run": run, "health": health, "drain": 500, "grace": 3000, **runtime})
        name = digest("release", [component, version])
        self.known[name] = Release(name, component, kind, "shop", how)
        return self.known[name]

    async def release(self, digest: str) -> Release:
        try:
            return self.known[digest]
        except KeyError:
            raise NotInStore("cannot find the release", digest) from None

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        return [Artifact(digest("artifact", release), release, "tree", "any", str(self.root))]

    async def blob(self, digest: str) -> bytes:
        return self.blobs[digest]

    shares = False

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        return artifacts[0]

    def reaches(self, artifact: Artifact) -> bool:
        return True

    async def available(self, artifact: Artifact) -> bool:
        return True

    async def verify(self, artifact: Artifact) -> Path:
        self.compared += 1
        return Path(artifact.location)

    async def remove(self, artifact: Artifact) -> None:
        raise AssertionError("the target removes no artifact")

    async def present(self) -> Mapping[str, Artifact]:
        return {}

    async def use(self, releases: Collection[str]) -> None:
        raise AssertionError("the target says no uses")

    def pruning(self) -> AbstractAsyncContextManager[Collection[str]]:
        raise AssertionError("the target prunes nothing")

    # Moves

    def group(self, component: str = "backend", born: int = 1) -> GroupAddress:
        return GroupAddress(self.environment, component, born)

    async def run(self, step: Any, *components: str, epoch: int = 1) -> Outcome:
        return await self.target.run(step, Epoch(self.environment, epoch, components or ("backend", "frontend")))

    async def start(
        self,
        release: Release,
        born: int = 1,
        *,
        replicas: int = 1,
        env: Mapping[str, Value] | None = None,
        edges: Mapping[str, GroupAddress | None] | None = None,
        settings: str = "",
        resources: Mapping[str, Resource] | None = None,
    ) -> tuple[GroupAddress, str]:
        """The group, and the address of its candidate, "" if it has none."""
        group = GroupAddress(self.environment, release.component, born)
        used = tuple((resources or {}).items())
        pin = Pin(release.digest, settings, Shape(replicas=replicas, env=tuple((env or {}).items()), resources=used))
        await self.run(Prepare(release.component, release.digest))
        outcome = await self.run(Start(group, pin, tuple((edges or {}).items())))
        return group, outcome.urls.get(group.name, "")

    async def replace(self, release: Release, born: int, *stops: GroupAddress) -> GroupAddress:
        """A group in the place of others."""
        group = GroupAddress(self.environment, release.component, born)
        await self.run(Prepare(release.component, release.digest))
        await self.run(Replace(group, Pin(release.digest, "", Shape()), stops=stops))
        return group

    async def enter(self, *groups: GroupAddress) -> dict[str, str]:
        """Addresses of the entries afterwards."""
        await self.run(Route(tuple(EntryMove(group.component, group) for group in groups)))
        return dict((await self.target.observe(self.environment)).urls)

    async def down(self, environment: str | None = None) -> None:
        """As `tidegate down`."""
        environment = environment or self.environment
        seen = await self.target.observe(environment)
        epoch = Epoch(environment, 1000, tuple({group.component for group in seen.groups}))
        await self.target.run(Route(tuple(EntryMove(component, None) for component in seen.entries)), epoch)
        left = dict(seen.groups)
        while left:
            called = {to for group in left.values() for to in group.edges.values()}
            first = left.keys() - called or set(left)
            async with anyio.create_task_group() as tasks:
                for address in first:
                    tasks.start_soon(self.target.run, Retire(address), epoch)
            left = {address: group for address, group in left.items() if address not in first}
        await self.target.forget(environment)

    # A look behind

    def agent(self) -> dict[str, Any]:
        """What the agent's lock file says; empty when none runs."""
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.state / "agent" / "lock").read_text()))
        return {}

    def kill_agent(self) -> None:
        os.kill(self.agent()["pid"], signal.SIGKILL)

    def record(self) -> dict[str, Any]:
        """The agent's state file."""
        content: dict[str, Any] = json.loads((self.state / "agent" / "state.json").read_text())
        return content


async def get(url: str, path: str = "/", *, patience: float = 5) -> tuple[int, Any]:
    """Status and JSON of an answer, on a connection of its own."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status, json.loads(body) if status == 200 else body.decode()


async def until(condition: Callable[[], Any], *, seconds: float = 10) -> None:
    """Poll a condition (a function or coroutine function); fails when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether this process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether somebody listens on this port."""
    line = f"0100007F:{port:04X} 00000000:0000 0A"
    return line in Path("/proc/net/tcp").read_text()


@contextmanager
def places() -> Iterator[Path]:
    """A folder; state and sockets of all that runs are below it."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGATE_STATE_DIR", f"{folder}/state")
        patch.setenv("TIDEGATE_RUNTIME_DIR", f"{folder}/run")
        yield Path(folder)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A project with nothing running; at the end whatever runs is ended, by pid."""
    with places() as folder:
        made = World(folder)
        try:
            yield made
        finally:
            await end_all(made)


async def end_all(made: World) -> None:
    """End, by pid, whatever runs of it."""
    if not (made.state / "agent" / "state.json").exists():
        return
    made.target = made.another_target()
    try:
        for environment in list(made.record()["environments"]):
            await made.down(environment)
    except (TidegateError, ValueError, ExceptionGroup):
        _end_by_force(made)
        raise


def _end_by_force(made: World) -> None:
    """A test broke the agent: end what it left by pid, so that nothing outlives the tests."""
    with suppress(KeyError, ProcessLookupError):
        made.kill_agent()
    pids = [made.state / "agent" / "gateway" / "process.json"]
    for file in pids:
        with suppress(OSError, ValueError, KeyError):
            os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
    instances: list[dict[str, Any]] = []
    with suppress(OSError, ValueError):
        for environment in made.record()["environments"].values():
            for group in environment["groups"]:
                instances += group["instances"]
            instances += [resource["instance"] for resource in environment["resources"]]
    for instance in instances:
        if instance["pid"]:
            with suppress(ProcessLookupError):
                os.killpg(instance["pid"], signal.SIGKILL)


__all__ = [
    "ALIVE",
    "QUICK",
    "SERVICE",
    "World",
    "alive",
    "database",
    "get",
    "listens",
    "python",
    "short",
    "until",
    "world",
]
