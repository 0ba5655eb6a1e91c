"""What SQLite and PostgreSQL say differently, and how each of them tells the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Double, Table, cast, extract, func, select
from sqlalchemy.dialects import sqlite

CLOCK = "tidegate_clock"  # execution option: the clock of a database that is no server, and has none of its own


def now(connection: Connection) -> float:
    """The store's clock, in seconds since the epoch: the server's, so that all machines agree about leases.

    Ask after locking: whoever waits for a lock must not judge the leases of others by a moment that is long past.
    """
    clock: Callable[[], float] | None = connection.get_execution_options().get(CLOCK)
    return clock() if clock else float(connection.execute(select(server_clock())).scalar_one())


def moment(connection: Connection) -> Any:
    """As `now`, for the values of an insert: saves asking the server."""
    clock: Callable[[], float] | None = connection.get_execution_options().get(CLOCK)
    return clock() if clock else server_clock()


def server_clock() -> Any:
    """PostgreSQL's time; not that of the begin of the transaction."""
    return cast(extract("epoch", func.clock_timestamp()), Double)


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row, unless there is one of the same primary key; says whether it did."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - most stores need no second dialect

        made = connection.execute(postgresql.insert(table).values(values).on_conflict_do_nothing())
    else:
        made = connection.execute(sqlite.insert(table).values(values).on_conflict_do_nothing())
    return made.rowcount == 1
