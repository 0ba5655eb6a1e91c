"""What databases say when they fail, and what to do about it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from tidegate.errors import StoreError

SPARE = 1 << 20  # bytes; with less the disk is called full

# What to do, by words of the reason; the first that fit. Databases have no common code for these.
HINTS = (
    (("database is locked",), "Another process has been writing to it for long. Try again when it is done."),
    (("lock timeout", "deadlock"), "Another process has been writing to it for long. Try again."),
    (
        ("disk is full", "no space left", "could not extend"),
        "The disk is full: free some space, then repeat. Nothing of the store is lost.",
    ),
    (("readonly", "read-only", "permission denied", "unable to open"), "Check that you may write there."),
    (("malformed",), "The file is damaged: put back a copy of it, or move it away and begin anew."),
    (("not a database",), "If this is no store of Tidegate, name another file."),
    (("password", "authentication", "no pg_hba"), "Check the user and the password that the URL names."),
    (("does not exist",), "Check what the URL names: a database has to be there, and may be empty."),
)
LOST = "Is it running, and can this machine reach it? Then repeat what you did."


def store_error(error: Exception, where: str, *, summary: str = "cannot use the store") -> StoreError:
    """Says why, and what to do, of an error of SQLAlchemy or a driver; raise it from that one.

    `where` is the path of the file, or the server.
    """
    return StoreError(summary, reason_of(error), hint=hint_of(error, where), address=where)


def reason_of(error: Exception) -> str:
    """In the words of the database, without the statement."""
    return str(getattr(error, "orig", None) or error).strip()


def hint_of(error: Exception, where: str) -> str:
    """What to do about it."""
    reason = reason_of(error).lower()
    server = isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error)
    if not server and _full(where):
        reason = "disk is full"  # whatever SQLite failed at first
    for words, hint in HINTS:
        if any(word in reason for word in words):
            return hint
    return LOST if server else "Check the disk that it lies on, and that you may write there."


def _full(where: str) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(Path(where).parent).free < SPARE
    return False
