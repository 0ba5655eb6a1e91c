"""The content of a tree: what was built, written down so that it can be compared later.

Byte code that Python leaves in `__pycache__` is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tidegate.builds.hashing import sha256_of

THREADS = 4

T = TypeVar("T")
Entry = list[int | str]  # [mode, size, sha256] of a file, ["link", target] of a link


def content_of(tree: Path) -> dict[str, Entry]:
    """Path relative to the tree, with forward slashes -> entry. Raises `OSError`."""
    paths = paths_of(tree)
    return dict(zip(paths, _in_threads(lambda path: _entry(tree / path), paths), strict=True))


def paths_of(tree: Path) -> list[str]:
    """What `content_of` looks at, sorted. Raises `OSError`."""
    return sorted(_paths(tree, ""))


def encoded(content: dict[str, Entry]) -> bytes:
    """The bytes that name the content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def differences(tree: Path, content: dict[str, Entry]) -> list[str]:
    """In words, which files are missing or changed. Files that came later are no damage: programs write beside
    their code."""

    def compare(path: str) -> str:
        try:
            return "" if _entry(tree / path) == content[path] else f"{path} was changed"
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is missing"
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"

    return [said for said in _in_threads(compare, sorted(content)) if said]


def _entry(path: Path) -> Entry:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ["link", os.readlink(path)]  # noqa: PTH115 - a Path would tidy it up
    if not stat.S_ISREG(status.st_mode):
        return ["other", stat.S_IFMT(status.st_mode)]
    return [stat.S_IMODE(status.st_mode), status.st_size, _hash(path, status.st_size)]


def _hash(path: Path, size: int) -> str:
    if size > 1 << 20:
        return sha256_of(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _paths(tree: Path, folder: str) -> Iterator[str]:
    with os.scandir(tree / folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _paths(tree, f"{folder}{entry.name}/")
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield folder + entry.name


def _in_threads(work: Callable[[str], T], paths: list[str]) -> Iterator[T]:
    size = max(1, len(paths) // (4 * THREADS))
    parts = [paths[at : at + size] for at in range(0, len(paths), size)]
    with ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(lambda part: [work(path) for path in part], parts):
            yield from part
