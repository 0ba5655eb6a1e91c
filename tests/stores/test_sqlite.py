"""The store in SQLite keeps the promises of a store, between processes too."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.racing import racer
from tidegate.errors import StoreError
from tidegate.ports.store import Event, Store
from tidegate.stores.sql import SqlStore
from tidegate.stores.sqlite import open_sqlite
from tidegate.stores.tables import VERSION
from tidegate.testing.store_conformance import StillClock, StoreConformance, a_pin, a_release, committed


class TestSqlite(StoreConformance):
    """The suite over a file."""

    @pytest.fixture
    async def store(self, tmp_path: Path, clock: StillClock) -> AsyncIterator[Store]:
        store = SqlStore.open(f"sqlite:///{tmp_path}/deep/store.db", clock)
        yield store
        await store.close()


pytestmark = pytest.mark.anyio


async def test_what_was_kept_is_there_after_reopening(file: Path) -> None:
    """A command ends; the next one goes on from there."""
    store = SqlStore.open(file, StillClock())
    await committed(store, {"a": a_pin("1")})
    await store.put_release(a_release())
    await store.close()
    again = SqlStore.open(file, StillClock())
    assert dict((await again.history("dev"))[0].pins) == {"a": a_pin("1")}
    assert await again.releases() == [a_release()]
    await again.close()


async def test_nobody_else_on_the_machine_can_read_the_store(file: Path) -> None:
    """The file and its log are for their owner only, whatever the umask is."""
    before = os.umask(0)
    try:
        store = SqlStore.open(file, StillClock())
        await store.append(Event("dev", "noted"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert "store.db-wal" in modes
    assert set(modes.values()) == {0o600}
    await store.close()


@pytest.mark.parametrize("version", [VERSION + 1, 99, -1])
async def test_a_store_of_another_version_is_refused(file: Path, version: int) -> None:
    """Before anything in it is touched."""
    await SqlStore.open(file, StillClock()).close()
    raw = sqlite3.connect(file)
    raw.execute(f"PRAGMA user_version={version}")
    raw.close()
    with pytest.raises(StoreError, match=f"version {version}"):
        SqlStore.open(file, StillClock())


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """Text, and the database of another program; both stay as they are."""
    text, other = tmp_path / "text", tmp_path / "other.db"
    text.write_text("no database at all, but long enough to look like one\n" * 10)
    raw = sqlite3.connect(other)
    raw.execute("CREATE TABLE songs (title TEXT)")
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match="not a database"):
        SqlStore.open(text, StillClock())
    with pytest.raises(StoreError, match="something else"):
        SqlStore.open(other, StillClock())
    assert text.read_text().startswith("no database")


@pytest.mark.parametrize("name", ["what?is=this", "a%20b%s", "a#b", "a b", 'quo"te', "b\u00fcro"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """What means something in a URL means nothing in a path: the store lies where it was asked for, and only there."""
    folder = tmp_path / name
    open_sqlite(folder / "store.db").dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with closing(sqlite3.connect(folder / "store.db")) as connection, connection:
        assert connection.execute("SELECT count(*) FROM blobs").fetchone() == (0,)


async def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    """A folder, a path below a file, a kind of store that nobody knows."""
    (tmp_path / "file").write_text("")
    for location in (tmp_path, tmp_path / "file" / "store.db", "mystery://host/name"):
        with pytest.raises(StoreError, match="cannot open the store"):
            SqlStore.open(location, StillClock())


async def test_a_store_that_vanished_or_broke_is_an_error_of_the_store(file: Path) -> None:
    """Not of the library below."""
    store = SqlStore.open(file, StillClock())
    raw = sqlite3.connect(file)
    raw.execute("DROP TABLE events")
    raw.close()
    with pytest.raises(StoreError, match="no such table"):
        await store.append(Event("dev", "noted"))
    await store.close()


INTERRUPTED = "SELECT * FROM events WHERE environment = 'e3' AND kind = 'interrupted' ORDER BY seq DESC LIMIT 1000"


async def test_of_a_long_history_only_what_is_asked_for_is_read(file: Path) -> None:
    """100,000 events and 1,000 components; `bench/store.py` says how fast."""
    store = SqlStore.open(file, StillClock())
    raw = sqlite3.connect(file)
    raw.executemany(
        "INSERT INTO events (at, environment, actor, kind, plan, step, epoch, subject, body)"
        " VALUES (1, ?, 'ana', 'noted', ?, '', 1, '', '{}')",
        ((f"e{place % 10}", f"p{place % 1000}") for place in range(100_000)),
    )
    raw.execute("UPDATE events SET kind = 'interrupted' WHERE seq IN (14, 24, 25)")
    raw.commit()
    how = raw.execute(f"EXPLAIN QUERY PLAN {INTERRUPTED}").fetchall()
    assert [row[3] for row in how] == ["SEARCH events USING INDEX events_of_kind (environment=? AND kind=?)"]
    raw.close()
    assert [event.seq for event in await store.events(environment="e3", kind="interrupted")] == [14, 24]
    await committed(store, {f"c{place}": a_pin(str(place)) for place in range(1000)})
    for version in range(20):
        await committed(store, {"c5": a_pin(f"new {version}")})
    assert len(await store.events(environment="e3")) == 1000
    assert len(await store.events(plan="p7")) == 100
    assert len(await store.history("dev")) == 21
    await store.close()


def test_a_new_store_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Nobody is told that it is locked, and nobody meets half of its tables."""
    for place in range(10):
        gate = threading.Barrier(6)

        def use(file: Path = tmp_path / f"{place}.db", gate: threading.Barrier = gate) -> int:
            gate.wait()
            engine = open_sqlite(file)
            with engine.connect() as connection:
                count = connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
            engine.dispose()
            return int(count)

        with ThreadPoolExecutor(6) as pool:
            assert [found.result() for found in [pool.submit(use) for _ in range(6)]] == [0] * 6


async def test_a_process_that_dies_in_a_transaction_leaves_nothing_of_it(file: Path) -> None:
    """And the next writer goes on at once."""
    store = SqlStore.open(file, StillClock())
    await store.append(Event("dev", "before"))
    process = racer(file, "die")
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    await store.append(Event("dev", "after"))
    assert [event.kind for event in await store.events()] == ["before", "after"]
    await store.close()
