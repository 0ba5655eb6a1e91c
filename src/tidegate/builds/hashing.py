"""Hashes of files, remembered between runs.

A remembered hash is used if the file has the same size, times of modification and change, and inode. It is only
remembered if, when it was taken, both times lay more than two seconds back: a later write then cannot leave them as
they are, however coarse the clock of the file system is.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RACY = 2_000_000_000  # nanoseconds
VERSION = 1
THREADS = 4
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class HashedFile:
    """One file as it is on the disk. Of a link, `sha256` is that of its target `link`."""

    executable: bool
    link: str | None
    sha256: str


class Hasher:
    """Hashes files below `root`; `cache` is the file that remembers."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache
        self._known = _load(cache)
        self._fresh: dict[str, list[int | str]] = {}

    def hash(self, paths: Iterable[str]) -> dict[str, HashedFile]:
        """Path -> file, without those that are not there (deleted, and the deletion not committed yet)."""
        ordered = sorted(paths)
        with ThreadPoolExecutor(THREADS) as pool:
            size = max(1, len(ordered) // (4 * THREADS))
            parts = pool.map(self._hash_part, [ordered[at : at + size] for at in range(0, len(ordered), size)])
            return {path: found for part in parts for path, found in part}

    def save(self) -> None:
        """Remember. A cache that cannot be written is no reason to fail."""
        if not self._fresh:
            return
        with suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._cache.parent, delete=False) as file:
                json.dump({"version": VERSION, "files": {**self._known, **self._fresh}}, file)
            Path(file.name).replace(self._cache)

    def _hash_part(self, paths: list[str]) -> list[tuple[str, HashedFile]]:
        return [(path, found) for path in paths if (found := self._hash(path))]

    def _hash(self, path: str) -> HashedFile | None:
        full = self._root / path
        try:
            status = full.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(full)  # noqa: PTH115 - a Path would tidy it up
            return HashedFile(False, target, hashlib.sha256(os.fsencode(target)).hexdigest())
        if not stat.S_ISREG(status.st_mode):
            return None
        executable = bool(status.st_mode & stat.S_IXUSR)
        traits = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(path)
        if known and known[:-1] == traits:
            return HashedFile(executable, None, str(known[-1]))
        now = time.time_ns()
        sha256 = sha256_of(full)
        if max(status.st_mtime_ns, status.st_ctime_ns) < now - RACY:
            self._fresh[path] = [*traits, sha256]
        return HashedFile(executable, None, sha256)


def sha256_of(path: Path) -> str:
    """Of the content. Raises `OSError`."""
    content = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            content.update(block)
    return content.hexdigest()


def _load(cache: Path) -> dict[str, list[int | str]]:
    """What is remembered; a cache that is missing, torn or of another version remembers nothing."""
    with suppress(OSError, ValueError):
        found = json.loads(cache.read_text())
        if isinstance(found, dict) and found.get("version") == VERSION:
            return dict(found["files"])
    return {}
