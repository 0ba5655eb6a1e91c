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


def ignored(root: Path, path: str) -> bool:
    """Whether a file at `path`, which need not be there, would not be listed. Raises `OSError`."""
    rules: Rules = ()
    folder = ""
    *folders, name = path.split("/")
    for part in folders:
        rules = _with_rules(root, folder, rules)
        folder += f"{part}/"
        if part in NEVER or _ignored(folder, rules):
            return True
    return name in NEVER or _ignored(path, _with_rules(root, folder, rules))


def _with_rules(root: Path, folder: str, rules: Rules) -> Rules:
    file = root / folder / ".gitignore"
    if file.is_symlink() or not file.is_file():
        return rules
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow to import, and seldom needed where there is git

    lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return (*rules, (folder, GitIgnoreSpec.from_lines(lines)))


def _walk(root: Path, folder: str, rules: Rules) -> Iterator[str]:
    with os.scandir(root / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if any(entry.name == ".gitignore" for entry in entries):
        rules = _with_rules(root, folder, rules)
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
