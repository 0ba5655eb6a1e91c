"""A project in a temporary folder, and the real program on it, as a user has it.

Nothing of the caller's own Tidegate is touched; whatever runs at the end is ended, by pid if need be.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TIDEGATE = Path(sys.executable).with_name("tidegate")
PATIENCE = 300.0  # seconds; builds download what they need the first time


class Failed(Exception):
    """Something that is measured did not work at all; the text says what."""


@dataclass(frozen=True)
class Spent:
    """Wall time and processor time, in seconds. On a machine that others use too, the latter is steadier."""

    wall: float
    processor: float


def processor_time(pid: int) -> float:
    """Seconds that a process and the children it has waited for have used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


class Project:
    """A folder with manifests, under version control, and `tidegate` in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self.state = self.root / ".tidegate"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "TIDEGATE_STATE_DIR": str(folder / "state"),
            "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
        }
        self._program: subprocess.Popen[str] | None = None

    def write(self, files: Mapping[str, str]) -> None:
        """Path below the root -> text."""
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def commit(self) -> None:
        """Put everything under version control, so that releases may leave the first environment."""
        if not (self.root / ".git").exists():
            self._git("init", "--quiet")
        self._git("add", "--all")
        me = ("-c", "user.name=bench", "-c", "user.email=bench@acme.example", "-c", "commit.gpgsign=false")
        self._git(*me, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "bench")

    def tidegate(self, *arguments: str, fails: bool = False) -> float:
        """Run the program to its end; its wall time in seconds. Raises `Failed` if it fails, unless it shall."""
        begun = time.perf_counter()
        program = self.begin(*arguments)
        seconds, status, said = self._end(program, begun)
        if (status != 0) != fails:
            raise Failed(f"`tidegate {' '.join(arguments)}` ended with {status}:\n{said}")
        return seconds

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program; at most one at a time."""
        self._program = subprocess.Popen(
            [TIDEGATE, *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self._program

    def status(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(environment, component) -> what `tidegate status --json` says of it."""
        done = subprocess.run(
            [TIDEGATE, "status", "--json"], cwd=self.root, env=self.env, capture_output=True, timeout=60, check=False
        )
        if done.returncode:
            raise Failed(f"`tidegate status --json` ended with {done.returncode}: {done.stderr.decode()}")
        return {
            (environment["environment"], component["component"]): component
            for environment in json.loads(done.stdout)["environments"]
            for component in environment["components"]
        }

    def agent(self) -> int:
        """The pid of the agent."""
        return int(json.loads((self.state / "agent" / "lock").read_text())["pid"])

    def gateway(self) -> int:
        """The pid of the gateway."""
        return int(json.loads((self.state / "agent" / "gateway" / "process.json").read_text())["pid"])

    def down(self) -> None:
        """End all environments, and with them agent and gateway."""
        self.tidegate("down", "--all", "--yes")

    def end(self) -> None:
        """Leave nothing running, whatever happened."""
        if self._program is not None and self._program.poll() is None:
            self._program.kill()
            self._program.communicate()
        with suppress(Failed, OSError):
            self.down()
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, program: subprocess.Popen[str], begun: float) -> tuple[float, int, str]:
        try:
            said, _ = program.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            program.kill()
            program.communicate()
            raise Failed(f"{program.args!r} did not end within {PATIENCE:.0f} s") from error
        return time.perf_counter() - begun, program.returncode, said

    def _left(self) -> Iterator[int]:
        """Processes of an agent that did not end when it was asked to: itself first, so that it restarts nothing."""
        agent = self.state / "agent"
        with suppress(OSError, ValueError, KeyError):
            record = json.loads((agent / "state.json").read_text())  # only an agent with something to run keeps it
            yield self.agent()
            yield self.gateway()
            for environment in record["environments"].values():
                for group in environment["groups"]:
                    yield from (instance["pid"] for instance in group["instances"] if instance["pid"])

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.root, env=self.env, check=True, timeout=60)


@contextmanager
def project() -> Iterator[Project]:
    """A project with nothing in it; ended and removed at the end, also after Ctrl-C and SIGTERM."""
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    try:
        made = Project(folder)
        try:
            yield made
        finally:
            made.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, former)
