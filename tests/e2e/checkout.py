"""A user's checkout in a temporary folder, and the real command line on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PROGRAM = Path(sys.executable).with_name("tidegate")
SERVICE = Path(__file__).with_name("service.py")
PYTHON = f"{sys.executable} -I -S"  # little else is loaded, since tests start many

PATIENCE = 60.0


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit status {self.status}\n{self.out}\n{self.err}"


@dataclass
class Running:
    """A command that runs; `lines` is what it printed on standard error so far."""

    process: asyncio.subprocess.Process
    out: bytes = b""
    lines: list[str] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    def follow(self) -> None:
        self.readers = [asyncio.create_task(self._err()), asyncio.create_task(self._out())]

    async def _err(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))

    async def _out(self) -> None:
        assert self.process.stdout is not None
        self.out = await self.process.stdout.read()

    async def says(self, text: str) -> None:
        """Wait until a line contains `text`; fails when the command ends without."""
        await until(
            lambda: any(text in line for line in self.lines) or self.process.returncode is not None,
            f"{text!r} in {self.lines}",
        )
        assert any(text in line for line in self.lines), "\n".join(self.lines)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    async def ended(self) -> Ran:
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            await asyncio.gather(*self.readers)
        return Ran(status, self.out.decode(), "\n".join(self.lines))


@dataclass
class Checkout:
    """`root` is the project. `env` is what commands are started with; nothing of the user's own is touched."""

    root: Path
    env: dict[str, str]
    began: list[Running] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path) -> Checkout:
        root = folder / "shop"
        root.mkdir()
        env = {
            **os.environ,
            "TIDEGATE_STATE_DIR": str(folder / "state"),
            "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
            "COLUMNS": "120",
            "NO_COLOR": "1",
        }
        return cls(root, env)

    # What is written

    def environments(self, **settings: str) -> None:
        """tidegate.yaml: name -> its settings as YAML, such as "{after: dev}"."""
        lines = "".join(f"  {name}: {{{value}}}\n" for name, value in settings.items())
        (self.root / "tidegate.yaml").write_text(f"organization: shop\nenvironments:\n{lines}")

    def service(self, name: str, more: str = "", *, label: object = "1", **behaviour: object) -> None:
        """A service that runs `service.py`; `more` is added to its manifest."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        shutil.copyfile(SERVICE, folder / "service.py")
        health = "" if "health:" in more else "health: {http: /healthz, interval: 100ms, start_timeout: 15s}\n"
        (folder / "service.yaml").write_text(f"run: {PYTHON} service.py\n{health}{more}\n")
        self.behave(name, label=label, **behaviour)

    def behave(self, name: str, **behaviour: object) -> None:
        """New sources of a service, so a new release."""
        (self.root / name / "behaviour.json").write_text(json.dumps({"label": "1", **behaviour}))

    def pair(self, more: str = "drain: 7s", **environments: str) -> None:
        """A frontend that needs a backend, in one environment `dev` unless others are named."""
        self.environments(**(environments or {"dev": "observe: 0s"}))
        self.service("backend", more)
        self.service("frontend", f"needs: [backend]\nexpose: true\n{more}")

    def relabel(self, label: object, **backend: object) -> None:
        """New releases of both; the backend may behave in its own way."""
        self.behave("frontend", label=label)
        self.behave("backend", label=label, **backend)

    # Commands

    async def start(self, *arguments: str, **variables: str) -> Running:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "-C", str(self.root), *arguments),
            env={**self.env, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        running.follow()
        self.began.append(running)
        return running

    async def run(self, *arguments: str, **variables: str) -> Ran:
        return await (await self.start(*arguments, **variables)).ended()

    async def succeed(self, *arguments: str, **variables: str) -> Ran:
        ran = await self.run(*arguments, **variables)
        assert ran.status == 0, str(ran)
        return ran

    async def status(self, environment: str = "dev") -> Any:
        """One environment, as `status --json` shows it."""
        return (await self.succeed("status", environment, "--json")).json["environments"][0]

    def port(self, component: str = "frontend", environment: str = "dev") -> int:
        """Where the entry of a component listens; read from the registry, which is quicker than to ask."""
        return self.ports()[f"{environment}/entry/{component}"]

    # A look behind

    def instances(self) -> dict[int, str]:
        """Pid -> instance of every living process that any environment of this project started."""
        found = {}
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                variables = process.environ()
                if "TIDEGATE_ENVIRONMENT" in variables and Path(process.cwd()).is_relative_to(self.root):
                    found[process.pid] = variables.get("TIDEGATE_INSTANCE", "?")
        return found

    def others(self) -> dict[int, str]:
        """Pid -> command line of what else runs for this project: agent, gateway, builds."""
        found = {}
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if process.pid not in {each.process.pid for each in self.began} and (
                    any(str(self.root) in word for word in words) or Path(process.cwd()).is_relative_to(self.root)
                ):
                    found[process.pid] = " ".join(words)
        for pid in self.instances():
            found.pop(pid, None)
        return found

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def pid_of(self, word: str) -> int:
        """The pid of the agent ("tidegate.drivers.local.agent") or the gateway ("envoy")."""
        return next(pid for pid, command in self.others().items() if word in command and "validate" not in command)

    def ports(self) -> dict[str, int]:
        """What the registry holds for this project."""
        file = Path(self.env["TIDEGATE_STATE_DIR"]) / "ports.json"
        content = json.loads(file.read_text()) if file.exists() else {"projects": {}}
        return dict(content["projects"].get(str(self.root.resolve()), {}))

    async def end(self) -> None:
        """Nothing of it runs any more, whatever a test did; fails if ending it by `down --all` was not enough."""
        for running in self.began:
            if running.process.returncode is None:
                running.kill()
                await running.ended()
        if (self.root / ".tidegate" / "agent" / "state.json").exists():
            await self.run("down", "--all", "--yes")
        left = {**self.others(), **self.instances()}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"left behind: {left}"


async def until(condition: Callable[[], Any], what: str, *, within: float = 20.0) -> None:
    """Poll a condition until it holds; fails the test when it does not `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)
