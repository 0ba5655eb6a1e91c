"""The store in PostgreSQL keeps the same promises, and those of a server."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from sqlalchemy import Connection

from tests.postgres import GUARDED, Postgres
from tidegate.errors import StoreError
from tidegate.ports.store import Event, Store
from tidegate.stores import claims
from tidegate.stores.sql import SqlStore
from tidegate.stores.tables import VERSION
from tidegate.testing.store_conformance import StillClock, StoreConformance, a_pin, a_plan, claimed, committed

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


async def until(condition: Callable[[], Any]) -> None:
    """Ask again and again, and let others go on meanwhile."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - the server has no event for it
            await anyio.sleep(0.01)


def waits_for_a_lock(postgres: Postgres) -> bool:
    """Whether any session does."""
    return bool(postgres.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


@asynccontextmanager
async def locked(postgres: Postgres, url: str) -> AsyncIterator[None]:
    """Somebody else holds the row of `dev`."""
    import psycopg

    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM environments WHERE name = 'dev' FOR UPDATE")
        yield
        with suppress(psycopg.OperationalError):
            other.rollback()


async def test_leases_go_by_the_clock_of_the_server(postgres: Postgres) -> None:
    """Machines whose clocks differ agree about when a claim expires, and about the time of events."""

    class Wrong(StillClock):
        def now(self) -> float:
            return 4e9

    url = postgres.database()
    store = SqlStore.open(url, Wrong())
    ask = "SELECT extract(epoch FROM clock_timestamp())::float8"
    [(before,)] = postgres.execute(ask)
    [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), lease=30)
    await store.append(Event("dev", "noted"))
    [(after,)] = postgres.execute(ask)
    assert before <= claim.at <= after
    assert claim.lease == pytest.approx(claim.at + 30)
    assert before <= (await store.events())[-1].at <= after
    await store.close()


async def test_a_server_that_was_restarted_is_used_again(postgres: Postgres) -> None:
    """Between two calls nobody notices; while it is away one is told, and the call after that works."""
    store = SqlStore.open(postgres.database(), StillClock())
    await store.append(Event("dev", "one"))
    postgres.stop()
    try:
        with pytest.raises(StoreError, match="Is it running"):
            await store.append(Event("dev", "lost"))
    finally:
        postgres.start()
    await store.append(Event("dev", "two"))
    postgres.stop()
    postgres.start()
    await store.append(Event("dev", "three"))
    assert [event.kind for event in await store.events()] == ["one", "two", "three"]
    await store.close()


async def test_a_server_that_goes_away_in_the_middle_of_a_change_leaves_nothing_of_it(postgres: Postgres) -> None:
    """One clear error, and the same call works when the server is there again."""
    url = postgres.database()
    store = SqlStore.open(url, StillClock())
    await committed(store, {"a": a_pin("1")})
    [claim] = await claimed(store, a_plan(1, 2, {"a": a_pin("2")}))
    failed: list[StoreError] = []

    async def commit() -> None:
        try:
            await store.commit(claim, {"a": a_pin("2")}, by="ana", why="")
        except StoreError as error:
            failed.append(error)

    async with locked(postgres, url), anyio.create_task_group() as tasks:
        tasks.start_soon(commit)
        await until(lambda: waits_for_a_lock(postgres))
        postgres.stop()
        postgres.start()
    assert "Is it running" in str(failed[0])
    assert (await store.environment("dev")).head == 1
    assert [event.subject for event in await store.events(kind="committed")] == ["dev@1"]
    await store.commit(claim, {"a": a_pin("2")}, by="ana", why="")
    assert dict((await store.history("dev"))[0].pins) == {"a": a_pin("2")}
    await store.close()


async def test_who_waits_too_long_for_another_process_is_told(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same call works when that one is done."""
    monkeypatch.setattr("tidegate.stores.postgresql.LOCKED", 100)
    url = postgres.database()
    store = SqlStore.open(url, StillClock())
    await committed(store, {"a": a_pin("1")})
    async with locked(postgres, url):
        with pytest.raises(StoreError, match="Another process has been writing to it for long"):
            await claimed(store, a_plan(1, 2, {"a": a_pin("2")}))
    await claimed(store, a_plan(1, 2, {"a": a_pin("2")}))
    await store.close()


async def test_a_process_that_is_paused_in_a_transaction_does_not_stop_the_others(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction; when it goes on, it is told, and has changed nothing."""
    monkeypatch.setattr("tidegate.stores.postgresql.IDLE", 100)
    url = postgres.database()
    paused, other = SqlStore.open(url, StillClock()), SqlStore.open(url, StillClock())
    [claim] = await claimed(other, a_plan(0, 1, {"a": a_pin("1")}))
    holds, goes_on = threading.Event(), threading.Event()
    told: list[StoreError] = []

    def reserve(connection: Connection) -> None:
        claims.reserve(connection, claim)
        holds.set()
        goes_on.wait(60)

    async def pause() -> None:
        try:
            await paused._write(reserve)
        except StoreError as error:
            told.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pause)
        await until(holds.is_set)
        assert await other.reserve(claim) == 2
        goes_on.set()
    assert "idle-in-transaction" in str(told[0])
    assert (await paused.environment("dev")).next_number == 3
    await paused.close()
    await other.close()


async def test_any_text_can_be_kept(postgres: Postgres) -> None:
    """What programs write ends up in the journal, also what databases do not like."""
    store = SqlStore.open(postgres.database(), StillClock())
    body = {"log": ["\x00 \ud800 \u2028 ü"], "b": 1, "a": 2}
    await store.append(Event("dev", "noted", body=body))
    [event] = await store.events()
    assert (event.body, list(event.body)) == (body, ["log", "b", "a"])
    await store.close()


async def test_the_password_of_a_url_is_shown_to_nobody(postgres: Postgres) -> None:
    """Neither when it is wrong, nor when the URL cannot be read or the server is not there."""
    user, password = GUARDED
    name = postgres.database().rsplit("/", 1)[1]
    right = f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{postgres.port}/{name}"
    postgres.execute(f"GRANT ALL ON SCHEMA public TO {user}", name)
    store = SqlStore.open(right, StillClock())
    await store.append(Event("dev", "noted"))
    postgres.execute("DROP TABLE events", name)
    with pytest.raises(StoreError) as broken:
        await store.append(Event("dev", "noted"))
    await store.close()
    said = [str(broken.value)]
    for url in (
        right.replace(quote(password, safe=""), "s3cr3t%2F"),
        f"postgresql://{user}:s3cr3t%2F@127.0.0.1:1/{name}",
        f"postgresql://{user}:s3cr3t%2F@127.0.0.1:none/{name}",
        f"postgresql://127.0.0.1:{postgres.port}/{name}?user={user}&password=s3cr3t%2F",
        f"postgresql://127.0.0.1:{postgres.port}/{name}?s3cr3t/=s3cr3t/&password=s3cr3t/",
    ):
        with pytest.raises(StoreError, match="cannot open the store") as refused:
            SqlStore.open(url, StillClock())
        said.append(str(refused.value))
        assert refused.value.hint
    for text in said:
        assert "s3cr3t/" not in text
        assert "s3cr3t%2F" not in text
        assert password not in text
    assert "password authentication failed" in said[1]
    assert "Is it running" in said[2]


def test_without_the_driver_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not installed with the rest: most people begin with a file."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=re.escape("pip install tidegate[postgresql]")):
        SqlStore.open("postgresql://127.0.0.1/shop", StillClock())


async def test_a_database_that_is_no_store_of_this_version_is_refused(postgres: Postgres) -> None:
    """One of another program, and one of a newer Tidegate; both stay as they are. So does one that is not there."""
    other, newer = postgres.database(), postgres.database()
    postgres.execute("CREATE TABLE songs (title TEXT)", other.rsplit("/", 1)[1])
    with pytest.raises(StoreError, match="something else"):
        SqlStore.open(other, StillClock())
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    assert postgres.execute(tables, other.rsplit("/", 1)[1]) == [("songs",)]
    await SqlStore.open(newer, StillClock()).close()
    postgres.execute(f"UPDATE tidegate_version SET version_num = '{VERSION + 1}'", newer.rsplit("/", 1)[1])
    with pytest.raises(StoreError, match=f"version {VERSION + 1}.*\n.*newer one"):
        SqlStore.open(newer, StillClock())
    for change in ("UPDATE tidegate_version SET version_num = 'b7'", "DELETE FROM tidegate_version"):
        postgres.execute(change, newer.rsplit("/", 1)[1])
        with pytest.raises(StoreError, match="does not say of which version"):
            SqlStore.open(newer, StillClock())
    with pytest.raises(StoreError, match="does not exist"):
        SqlStore.open(postgres.url("nowhere"), StillClock())
