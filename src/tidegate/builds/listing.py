"""What is listed before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEVER = frozenset({".git", ".tidegate", "__pycache__", ".venv", "node_modules"})


@dataclass(frozen=True, slots=True)
class Listing:
    """Paths relative to the root, with forward slashes, sorted by code point.

    `files` may count as sources (some of them may have gone from the disk). `changed` are those that differ from
    `commit`, the deleted ones too. `commit` is "" where there is none.
    """

    files: Sequence[str]
    changed: Sequence[str] = ()
    commit: str = ""


def counts(path: str) -> bool:
    """Whether no folder on the way, nor the file itself, is one that never belongs to the sources."""
    return NEVER.isdisjoint(path.split("/"))
