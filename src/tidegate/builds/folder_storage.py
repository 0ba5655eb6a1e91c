"""Shared artifacts in a folder that several checkouts or machines reach, such as one on a file server."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from anyio import to_thread

from tidegate.errors import ArtifactsUnreachable

T = TypeVar("T")


class FolderStorage:
    """Implements `tidegate.ports.artifacts.ArtifactStorage` in `folder`, which is made when something is put there.

    What others may read and write is for the folder and the umask to say.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @property
    def url(self) -> str:
        """See `ArtifactStorage`: the path of the folder."""
        return str(self._folder)

    async def put(self, name: str, file: Path) -> None:
        """See `ArtifactStorage`. An upload that was killed leaves a hidden file beside."""
        await self._do(lambda: _put(self._folder / name, file))

    async def get(self, name: str, file: Path) -> bool:
        """See `ArtifactStorage`."""
        return await self._do(lambda: _get(self._folder / name, file))

    async def exists(self, name: str) -> bool:
        """See `ArtifactStorage`."""
        return await self._do(lambda: _exists(self._folder / name))

    async def delete(self, name: str) -> None:
        """See `ArtifactStorage`. The folder it was in goes with the last file."""
        await self._do(lambda: _delete(self._folder / name))

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(work)
        except OSError as error:
            raise ArtifactsUnreachable(
                "cannot use the shared artifacts",
                f"{error.filename or self._folder}: {error.strerror}",
                hint="Check that the folder is there, has room, and that you may write to it.",
            ) from error


def _put(place: Path, file: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        with file.open("rb") as reading, draft.open("xb") as writing:
            shutil.copyfileobj(reading, writing)
            writing.flush()
            os.fsync(writing.fileno())
        draft.replace(place)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _get(place: Path, file: Path) -> bool:
    try:
        reading = place.open("rb")
    except FileNotFoundError:
        return False
    with reading, file.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
    return True


def _exists(place: Path) -> bool:
    try:
        place.stat()
    except FileNotFoundError:
        return False
    return True


def _delete(place: Path) -> None:
    place.unlink(missing_ok=True)
    with suppress(OSError):
        place.parent.rmdir()
