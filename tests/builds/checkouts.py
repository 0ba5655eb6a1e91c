"""Checkouts to build from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

QUIET = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@acme.example",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@acme.example",
}


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Files by their path; a text that begins with `#!` may be executed."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
    return root


def git(root: Path, *arguments: str) -> str:
    """Run git as somebody who has no configuration."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, env={**os.environ, **QUIET}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit_all(root: Path) -> str:
    """Make it a repository if it is none, commit everything that is not ignored; the commit."""
    if not (root / ".git").exists():
        git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "all")
    return git(root, "rev-parse", "HEAD")
