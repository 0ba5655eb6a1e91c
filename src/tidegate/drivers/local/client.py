"""Finding, starting, replacing and calling the agent of a project."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from tidegate import __version__
from tidegate.drivers.local.folders import Folders
from tidegate.drivers.local.protocol import PROTOCOL, Json, error_from_json
from tidegate.errors import TargetUnreachable

PATIENCE = 5.0
"""Seconds for answers that need no work, and for an agent to end."""
FROM_CALLER = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "XDG_STATE_HOME", "TIDEGATE_STATE_DIR",
)  # fmt: skip
"""All that the agent has of the caller's environment: it lives longer than the caller's secrets should."""

_SPOKEN = (__version__, PROTOCOL)


class AgentLost(Exception):
    """The connection ended before an answer came; since steps say what shall be, asking again is harmless."""


class AgentSilent(Exception):
    """The agent took the connection and does not answer; perhaps somebody stopped it."""


class AgentClient:
    """Calls the agent; starts it when it does not run, replaces it when it is of another version.

    Keeps no connection open between calls.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._socket: Path | None = None
        self._starting = asyncio.Lock()

    async def call(self, method: str, path: str, body: Json | None = None, *, patience: float | None = None) -> Any:
        """The answer, from an agent of this version. Without `patience` (seconds) it waits as long as it takes.

        Raises what the agent raised, and `TargetUnreachable` when there is no agent and none can be started, or it
        does not answer in time. Cancelling cancels what was asked for.
        """
        for last in (False, True):
            try:
                return await _exchange(await self._ready(), method, path, body, patience)
            except AgentSilent as silent:
                pid = _said(self._folders.lock).get("pid", "PID")
                raise TargetUnreachable(
                    "cannot reach the agent of this project",
                    str(silent),
                    hint=f"If this stays so, end it: kill -9 {pid}; services go on.",
                ) from silent
            except AgentLost as lost:
                self._socket = None
                if last:
                    raise TargetUnreachable(
                        "cannot reach the agent of this project",
                        f"It ended twice while it was asked for {path}.",
                        hint=f"Its log is {self._folders.agent_log}",
                    ) from lost
        raise AssertionError

    async def ask(
        self, path: str, body: Json, *, patience: float | None = None, asked: Callable[[], None] = lambda: None
    ) -> Any:
        """The answer to a POST from an agent that runs already, of whatever version; `asked` is called as soon as the
        question left.

        Raises what the agent raised, `AgentLost` also when there is none, and `AgentSilent`.
        """
        found = _listening(self._folders.lock)
        if found is None:
            raise AgentLost
        return await _exchange(found, "POST", path, body, patience, asked=asked)

    def running(self) -> bool:
        """Whether an agent of any version lives."""
        return _held(self._folders.lock)

    async def ended(self) -> None:
        """Wait until the agent that said it is ending has ended."""
        self._socket = None
        with anyio.move_on_after(PATIENCE * 4):
            while self.running():  # noqa: ASYNC110 - another process sets no event
                await anyio.sleep(0.01)

    async def _ready(self) -> Path:
        if self._socket is not None:
            return self._socket
        async with self._starting:
            for _ in range(5):
                if self._socket is not None:
                    return self._socket
                found = _listening(self._folders.lock)
                if found is not None:
                    self._check_place()
                    with suppress(AgentLost):
                        if await self._same_version(found):
                            self._socket = found
                            return found
                await self._start()
        raise TargetUnreachable(
            "cannot reach the agent of this project",
            "It ends as soon as it is started.",
            hint=f"Its log is {self._folders.agent_log}",
        )

    def _check_place(self) -> None:
        """Raises `TargetUnreachable` if the project was moved while its agent runs: what runs has its old paths."""
        place = _said(self._folders.lock).get("root", str(self._folders.root))
        if place != str(self._folders.root) and self.running():
            raise TargetUnreachable(
                "cannot work with a project that was moved while it runs",
                f"Its processes were started in {place}.",
                hint="Move it back, take it down there (tidegate down --all), then move it.",
            )

    async def _same_version(self, path: Path) -> bool:
        """Otherwise it is asked to leave what it supervises to the next, and has left on return."""
        agent = await _exchange(path, "GET", "/agent", None, PATIENCE)
        if (agent["version"], agent["protocol"]) == _SPOKEN:
            return True
        await _exchange(path, "POST", "/leave", None, PATIENCE)
        await self.ended()
        return False

    async def _start(self) -> None:
        folders = self._folders
        result = await anyio.run_process(
            [
                *(sys.executable, "-P", "-m", "tidegate.drivers.local.agent"),
                *(str(folders.root), str(folders.state), str(folders.runtime)),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            env={name: _absolute(name) for name in FROM_CALLER if name in os.environ},
        )
        if result.returncode != 0:
            raise TargetUnreachable(
                "cannot start the agent of this project",
                result.stderr.decode(errors="replace").strip() or f"It ended with {result.returncode}.",
                hint=f"Its log is {folders.agent_log}",
            )


def _absolute(name: str) -> str:
    """The agent works elsewhere."""
    value = os.environ[name]
    return str(Path(value).absolute()) if name == "TIDEGATE_STATE_DIR" and value else value


def _listening(lock: Path) -> Path | None:
    """The socket of the agent that wrote this lock file; None when there is none, or it is not this user's."""
    try:
        socket = Path(_said(lock)["socket"])
        found = socket.lstat()
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return socket if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid() else None


def _said(lock: Path) -> dict[str, Any]:
    """What the agent wrote into its lock file; nothing if it is not readable."""
    try:
        found = json.loads(lock.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


async def _exchange(
    path: Path,
    method: str,
    target: str,
    body: Mapping[str, Any] | None,
    patience: float | None,
    *,
    asked: Callable[[], None] = lambda: None,
) -> Any:
    """One request on a connection of its own; cancelling closes it, which cancels the work on the other side."""
    content = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {target} HTTP/1.1\r\nHost: agent\r\nContent-Length: {len(content)}\r\n\r\n"
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(head.encode() + content)
                await writer.drain()
                asked()
                answer = await reader.read()
            finally:
                writer.close()
    except TimeoutError as error:
        raise AgentSilent(f"It did not answer {method} {target} within {patience:g} s.") from error
    except OSError as error:
        raise AgentLost from error
    status, _, rest = answer.partition(b"\r\n")
    payload = rest.partition(b"\r\n\r\n")[2]
    if not payload:
        raise AgentLost
    result = json.loads(payload)
    if b" 200 " in status:
        return result
    raise error_from_json({"hint": "", "address": "", **result})
