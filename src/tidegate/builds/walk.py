"""Listing the sources without git: a walk that honours `.gitignore` files as git does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.builds.listing import NEVER, Listing

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

Rules = tuple[tuple[str, "GitIgnoreSpec"], ...]  # (folder with a slash at its end, its rules), the outermost first


def walk_listing(root: Path) -> Listing:
    """All files below `root` that no `.gitignore` in or below it names. Raises `OSError`."""
    return Listing(sorted(walk(root)))


def walk(root: Path, below: str = "") -> Iterator[str]:
    """Files below `below`, which ends with a slash unless it is empty; rules above it do not count."""
    yield from _walk(root, below, ())


def _walk(root: Path, folder: str, rules: Rules) -> Iterator[str]:
    with os.scandir(root / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if any(entry.name == ".gitignore" and entry.is_file(follow_symlinks=False) for entry in entries):
        lines = (root / folder / ".gitignore").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, and seldom needed where there is git

        rules = (*rules, (folder, GitIgnoreSpec.from_lines(lines)))
    for entry in entries:
        path = folder + entry.name
        if entry.name in NEVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not _ignored(path + "/", rules):
                yield from _walk(root, path + "/", rules)
        elif (entry.is_file(follow_symlinks=False) or entry.is_symlink()) and not _ignored(path, rules):
            yield path


def _ignored(path: str, rules: Rules) -> bool:
    """The innermost file that says anything decides."""
    for folder, spec in reversed(rules):
        said = spec.check_file(path.removeprefix(folder)).include
        if said is not None:
            return said
    return False
