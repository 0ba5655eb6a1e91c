"""Listing the sources with git: a handful of calls, however many components there are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tidegate.builds.listing import Listing, counts
from tidegate.builds.walk import walk
from tidegate.errors import ReleaseError

# The monitor is a program that the repository names; names are asked for as they are on the disk.
OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false")


def git_listing(root: Path) -> Listing | None:
    """What git knows of `root`: tracked files (ignored or not) and untracked ones that no `.gitignore` names.

    None where there is no git, or where `root` is not in a work tree of its own: a folder that the repository around
    it ignores is not part of it. Raises `ReleaseError` if git refuses.
    """
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if top is None or shutil.which("git") is None:
        return None
    if top != root and _run(root, "check-ignore", "--quiet", ".", expect=(0, 1)).returncode == 0:
        return None
    prefix = _run(root, "rev-parse", "--show-prefix").stdout.rstrip("\n")
    head = _run(root, "rev-parse", "--quiet", "--verify", "HEAD^{commit}", expect=(0, 1))
    # Not the standard excludes: what a user ignores everywhere would make the same sources differ between machines.
    listed = _run(root, "ls-files", "-z", "-t", "--cached", "--others", "--exclude-per-directory=.gitignore").stdout
    files: set[str] = set()
    changed: set[str] = set()
    for line in listed.split("\0"):
        tag, path = line[:1], line[2:]
        if not path or not counts(path.rstrip("/")):
            continue
        found = _files(root, path)
        files.update(found)
        if tag == "?":
            changed.update(found)
    if head.returncode == 0:
        changed.update(path for path in _changed(root, prefix) if counts(path))
    return Listing(sorted(files), sorted(changed), head.stdout.strip())


def _files(root: Path, path: str) -> list[str]:
    """The path itself, or the files of the repository that lies there: git names it, and does not look inside."""
    folder = root / path
    if folder.is_dir() and not folder.is_symlink():
        return list(walk(root, path.rstrip("/") + "/"))
    return [path]


def _changed(root: Path, prefix: str) -> list[str]:
    """Tracked files that differ from HEAD, relative to `root`; a changed repository inside this one counts as one."""
    status = _run(
        root,
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=no",
        "--no-renames",
        "--ignore-submodules=none",
        "--",
        ".",
    ).stdout
    return [line[3:].removeprefix(prefix) for line in status.split("\0") if line]


def _run(root: Path, *arguments: str, expect: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    # GIT_DIR and the like of whoever calls (a hook, say) speak of another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *OPTIONS, *arguments],
        cwd=root,
        env={**env, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if done.returncode not in expect:
        raise ReleaseError(
            "cannot read the sources", f"git {arguments[0]}: {done.stderr.strip()}", hint="git has to work here first."
        )
    return done
