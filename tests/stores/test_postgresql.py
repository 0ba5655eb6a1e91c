"""The store in PostgreSQL keeps the same promises, and those of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.postgres import Postgres
from tidegate.ports.store import Store
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock, StoreConformance

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("postgresql")]

FUNCTION = "RETURNS timestamptz VOLATILE LANGUAGE sql"


class ServerClock(StillClock):
    """Moves the clock of one database, by a function that stands before the server's own."""

    def __init__(self, server: Postgres, database: str) -> None:
        import psycopg

        self._connection = psycopg.connect(server.url(database), autocommit=True)
        for statement in (
            "CREATE SCHEMA test",
            "CREATE TABLE test.clock (moment float8)",
            "INSERT INTO test.clock VALUES (0)",
            f"CREATE FUNCTION public.clock_timestamp() {FUNCTION} AS 'SELECT to_timestamp(moment) FROM test.clock'",
            f"ALTER DATABASE {database} SET search_path = public, pg_catalog",
        ):
            self._connection.execute(statement.encode())
        super().__init__()

    @property
    def moment(self) -> float:
        row = self._connection.execute("SELECT moment FROM test.clock").fetchone()
        assert row is not None
        return float(row[0])

    @moment.setter
    def moment(self, value: float) -> None:
        self._connection.execute("UPDATE test.clock SET moment = %s", (value,))

    def close(self) -> None:
        self._connection.close()


class TestPostgresql(StoreConformance):
    """The suite over a server."""

    @pytest.fixture
    def database(self, postgres: Postgres) -> str:
        return postgres.database().rsplit("/", 1)[1]

    @pytest.fixture
    def clock(self, postgres: Postgres, database: str) -> Iterator[StillClock]:
        clock = ServerClock(postgres, database)
        yield clock
        clock.close()

    @pytest.fixture
    async def store(self, postgres: Postgres, database: str, clock: StillClock) -> AsyncIterator[Store]:
        store = SqlStore.open(postgres.url(database), StillClock())
        yield store
        await store.close()
