"""Files as builds need them: locked between processes, written durably, deleted for sure."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

POLL = 0.1  # seconds between looks at a lock that another process holds


@asynccontextmanager
async def locked(place: Path, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Hold `PLACE.lock`; the system gives it back if this process dies. `on_wait` is called once if it has to wait.

    The lock file stays: who deletes it lets two in. Raises `OSError`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.with_name(place.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        waited = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    on_wait()
                    waited = True
                await anyio.sleep(POLL)
        yield
    finally:
        os.close(lock)


def write_durably(path: Path, content: bytes) -> None:
    """All of it or nothing, also if the power fails. Raises `OSError`."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def delete(folder: Path) -> None:
    """A folder and all in it, also where it forbids writing; harmless when it is gone. Raises `OSError`."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        for inner, _, _ in os.walk(folder):  # from the top: a folder is opened up before it is entered
            Path(inner).chmod(0o700)
            for entry in os.scandir(inner):
                if entry.is_dir(follow_symlinks=False):
                    Path(entry.path).chmod(0o700)
        shutil.rmtree(folder)
