"""Orders in PostgreSQL.

Each request has a connection of its own: orders are few, and a database that was away needs no special care.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import class_row

COLUMNS = "id, product, quantity, state, placed_at, fulfilled_at, fulfilled_by"
CHANNEL = "orders"  # where the worker listens
PATIENCE = 3  # seconds to reach the database


@dataclass(frozen=True, slots=True)
class Order:
    """`state` is "open" or "fulfilled"; `fulfilled_by` the instance of the worker that did it."""

    id: int
    product: str
    quantity: int
    state: str
    placed_at: datetime
    fulfilled_at: datetime | None
    fulfilled_by: str | None


def address(env: Mapping[str, str] = os.environ) -> str:
    """ORDERS_DB_URL. Raises RuntimeError that says so where it is missing."""
    try:
        return env["ORDERS_DB_URL"]
    except KeyError:
        raise RuntimeError("ORDERS_DB_URL is missing: the URL of a PostgreSQL database") from None


class Orders:
    """All orders. Every method raises `psycopg.OperationalError` while the database cannot be reached."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def place(self, product: str, quantity: int) -> Order:
        """A new open order; the worker hears of it when it is committed."""
        async with self._cursor() as cursor:
            await cursor.execute(
                f"INSERT INTO orders (product, quantity) VALUES (%s, %s) RETURNING {COLUMNS}", (product, quantity)
            )
            placed = await cursor.fetchone()
            await cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        assert placed is not None
        return placed

    async def find(self, order_id: int) -> Order | None:
        """One order, or None."""
        async with self._cursor() as cursor:
            await cursor.execute(f"SELECT {COLUMNS} FROM orders WHERE id = %s", (order_id,))
            return await cursor.fetchone()

    async def latest(self, most: int = 100) -> list[Order]:
        """The youngest orders, the youngest first."""
        async with self._cursor() as cursor:
            await cursor.execute(f"SELECT {COLUMNS} FROM orders ORDER BY id DESC LIMIT %s", (most,))
            return await cursor.fetchall()

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[AsyncCursor[Order]]:
        connection = await AsyncConnection.connect(self._url, connect_timeout=PATIENCE)
        async with connection, connection.cursor(row_factory=class_row(Order)) as cursor:
            yield cursor
