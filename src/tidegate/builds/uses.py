"""Which releases living commands are about to start, so that nobody prunes them in between.

FOLDER/ID       the digests, a line each; locked as long as the command lives, whatever ends it
FOLDER.lock     held while a use is written, and while somebody prunes
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from tidegate.builds.files import locked


class Uses:
    """The uses that this process says, and those of all others, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said: list[tuple[int, Path]] = []

    async def add(self, releases: Collection[str]) -> None:
        """These are in use until `close`. Raises `OSError`."""
        if releases:
            async with locked(self._folder, lambda: None):
                self._said.append(await to_thread.run_sync(_say, self._folder, releases))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[frozenset[str]]:
        """What is in use, with nothing added meanwhile. Raises `OSError`."""
        async with locked(self._folder, lambda: None):
            yield await to_thread.run_sync(_said_by_living, self._folder)

    def close(self) -> None:
        """Nothing is in use any more."""
        for file, path in self._said:
            path.unlink(missing_ok=True)
            os.close(file)
        self._said.clear()


def _say(folder: Path, releases: Collection[str]) -> tuple[int, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / uuid.uuid4().hex
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        with os.fdopen(os.dup(file), "w", encoding="utf-8") as writing:
            writing.write("".join(f"{release}\n" for release in sorted(releases)))
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(file)
        raise
    return file, path


def _said_by_living(folder: Path) -> frozenset[str]:
    found: set[str] = set()
    for path in folder.glob("*"):
        try:
            file = path.open(encoding="utf-8")
        except FileNotFoundError:  # its command is just done
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.update(file.read().split())
            else:
                path.unlink(missing_ok=True)
    return frozenset(found)
