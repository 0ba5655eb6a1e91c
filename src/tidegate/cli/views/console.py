"""Where text goes, and what of it is let through."""

from __future__ import annotations

import os
import re
import sys
import unicodedata

from rich.console import Console

WIDTH_OF_FILES = 100_000  # pipes and files have no limit; a terminal knows its own

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # colours, titles, links
_HARMFUL = {"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"}


def clean(text: str) -> str:
    """Text of users and logs without what a terminal would obey: sequences, control characters, changes of direction.

    Line ends and tabs stay: they cannot do harm.
    """
    if text.isprintable() and not _HARMFUL.intersection(text):
        return text
    text = _SEQUENCE.sub("", text)
    return "".join(c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _HARMFUL))


def out() -> Console:
    """Results: standard output."""
    return _console(stderr=False)


def err() -> Console:
    """Progress, questions and errors: standard error."""
    return _console(stderr=True)


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    fixed = WIDTH_OF_FILES if not stream.isatty() and "COLUMNS" not in os.environ else None
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=fixed)
