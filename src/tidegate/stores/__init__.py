"""Stores: environments, claims, revisions, releases, plans and the journal, kept in a SQL database.

Never decides what an environment should run, never reaches a target. SQLAlchemy is imported when a store is opened,
since commands that need no store should not wait for it.
"""

from __future__ import annotations

from pathlib import Path

from tidegate.ports.clock import Clock
from tidegate.ports.store import Store

__all__ = ["open_store"]


def open_store(location: str | Path, clock: Clock) -> Store:
    """Open the store at a path, or at a `sqlite:///PATH` URL, and create it if there is none. Raises `StoreError`."""
    from tidegate.stores.sql import SqlStore  # noqa: PLC0415 - a tenth of a second, see above

    return SqlStore.open(location, clock)
