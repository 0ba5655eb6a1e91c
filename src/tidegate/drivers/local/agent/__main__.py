"""`python -m tidegate.drivers.local.agent ROOT STATE RUNTIME`: start the agent of a project unless it runs.

Returns when an agent listens (status 0), or with the reason on standard error when none can (status 1). The agent
itself has no controlling terminal, / as its folder and its log as standard output.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tidegate import __version__
from tidegate.drivers.local.agent.duties import follow_health, keep_gateway, rotate_logs, unused
from tidegate.drivers.local.agent.http import answer
from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.replacing import end_surplus
from tidegate.drivers.local.agent.server import Server
from tidegate.drivers.local.folders import Folders, make_private
from tidegate.drivers.local.ports import PortRegistry, registry_folder
from tidegate.drivers.local.protocol import PROTOCOL
from tidegate.errors import TidegateError

PATIENCE = 15.0
"""For an agent that is just ending, and holds the lock."""


def main() -> None:
    """See the module."""
    folders = Folders(*(Path(argument) for argument in sys.argv[1:4]))
    try:
        make_private(folders.runtime)
        folders.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _acquire(folders)
    except (TidegateError, OSError) as error:
        sys.exit(str(error))
    if lock is None:
        return
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        _wait(ready)
    os.close(ready)
    _detach(folders)
    try:
        asyncio.run(_serve(folders, lock, tell))
    except (TidegateError, OSError) as error:
        with suppress(OSError):
            os.write(tell, str(error).encode())
        raise


def _acquire(folders: Folders) -> int | None:
    """The lock's file descriptor; None when another agent has it and listens."""
    lock = os.open(folders.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _listens(folders):
                return None
            if time.monotonic() > deadline:
                sys.exit(f"another agent holds {folders.lock} and does not answer")
            time.sleep(0.02)
        else:
            return lock


def _listens(folders: Folders) -> bool:
    try:
        path = json.loads(folders.lock.read_text())["socket"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return True


def _wait(ready: int) -> NoReturn:
    said = os.read(ready, 10_000)
    if said == b"ready":
        os._exit(0)
    os.write(2, said or b"the agent ended at once")
    os._exit(1)


def _detach(folders: Folders) -> None:
    os.setsid()
    os.chdir("/")
    log = os.open(folders.agent_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, number)
    os.close(nothing)
    os.close(log)


async def _serve(folders: Folders, lock: int, tell: int) -> None:
    project = Project(folders, PortRegistry(registry_folder(), folders.root))
    server = Server(project)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    folders.socket.unlink(missing_ok=True)
    connections = await asyncio.start_unix_server(
        lambda reader, writer: answer(server.handle, reader, writer), folders.socket, backlog=1024
    )
    folders.socket.chmod(0o600)
    server.runs.adopt()
    await project.adopt()
    os.ftruncate(lock, 0)
    where = {
        "pid": os.getpid(),
        "root": str(folders.root),
        "socket": str(folders.socket),
        "version": __version__,
        "protocol": PROTOCOL,
    }
    os.pwrite(lock, json.dumps(where).encode(), 0)
    os.write(tell, b"ready")
    os.close(tell)
    duties = [asyncio.create_task(duty(project)) for duty in (end_surplus, follow_health, keep_gateway, rotate_logs)]
    idle = asyncio.create_task(unused(project))
    ended = asyncio.create_task(server.ended.wait())
    unheard = asyncio.create_task(_unheard(folders))
    disowned = asyncio.create_task(_disowned(lock))
    await asyncio.wait({ended, idle, unheard, disowned}, return_when=asyncio.FIRST_COMPLETED)
    connections.close()
    for duty in (*duties, idle, ended, unheard, disowned):
        duty.cancel()
    await asyncio.wait([*duties, idle, ended, unheard, disowned])
    await server.attendance.end()
    await _finish_answers()
    if not disowned.cancelled():
        await server.runs.stop_all()
        await project.stop_all()
    elif project.idle:
        project.clear()
    else:
        await server.runs.leave()
        await project.leave()
        folders.socket.unlink(missing_ok=True)
    os.ftruncate(lock, 0)


async def _unheard(folders: Folders) -> None:
    """Return when somebody removed the socket: nobody can reach this agent any more, but the next would be."""
    while folders.socket.exists():  # noqa: ASYNC110 - a file system sets no event
        await asyncio.sleep(1)


async def _disowned(lock: int) -> None:
    """Return when somebody deleted the project's state, and the lock with it: what runs belongs to nobody any more.

    A project that was moved still has its lock.
    """
    while os.fstat(lock).st_nlink:  # noqa: ASYNC110 - a file system sets no event
        await asyncio.sleep(0.5)


async def _finish_answers() -> None:
    """Let the answer that ends us leave, and end the steps that still run."""
    await asyncio.sleep(0)
    current = asyncio.current_task()
    answers = {task for task in asyncio.all_tasks() if task is not current and _is_answer(task)}
    if answers:
        _, late = await asyncio.wait(answers, timeout=0.2)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def _is_answer(task: asyncio.Task[object]) -> bool:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", "") == answer.__qualname__


if __name__ == "__main__":
    main()
