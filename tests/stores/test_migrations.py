"""A store that an older Tidegate made is brought up to date, or left alone: never half."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect

from tests.postgres import Postgres
from tidegate.errors import ClaimRefused, StoreError
from tidegate.model.component import Artifact
from tidegate.stores.migrations import migrate
from tidegate.stores.sql import SqlStore
from tidegate.stores.tables import VERSION, metadata
from tidegate.testing.store_conformance import StillClock, a_pin, a_plan, a_release, claimed, committed

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("postgresql")]
AUTOINCREMENT = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
MADE_BY_0_1 = Path(__file__).with_name("version_1.sql")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as Tidegate 0.1 left it: three revisions, a claim, a release, four events."""
    file = tmp_path / "store.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(MADE_BY_0_1.read_text())
    return file


def whole(file: Path) -> list[str]:
    """All that is in a file, with its version."""
    with closing(sqlite3.connect(file)) as connection:
        return [str(connection.execute("PRAGMA user_version").fetchone()), *connection.iterdump()]


def layout(connection: Connection) -> dict[str, Any]:
    """Tables, columns, keys and indexes, as the database tells them."""
    look = inspect(connection)
    found: dict[str, Any] = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(name)],
            look.get_pk_constraint(name),
            sorted(str(key) for key in look.get_foreign_keys(name)),
            sorted(str(index) for index in look.get_indexes(name)),
        )
        for name in look.get_table_names()
    }
    if connection.dialect.name == "sqlite":
        found["never twice"] = (connection.exec_driver_sql(AUTOINCREMENT).scalars().all(),)
    return found


def both_layouts(made: Engine, migrated: Engine) -> list[dict[str, Any]]:
    found = []
    with made.begin() as connection:
        metadata.create_all(connection)
        found.append(layout(connection))
    with migrated.begin() as connection:
        migrate(connection, 0, "1")
        migrate(connection, 1)
        found.append(layout(connection))
    made.dispose()
    migrated.dispose()
    return found


def test_a_migrated_file_is_laid_out_as_a_new_one() -> None:
    """So that nothing works in one and fails in the other."""
    made, migrated = both_layouts(create_engine("sqlite://"), create_engine("sqlite://"))
    assert made == migrated
    assert made["never twice"] == (["events"],)


def test_a_migrated_database_of_a_server_is_laid_out_as_a_new_one(postgres: Postgres) -> None:
    """The same in PostgreSQL."""
    urls = [postgres.database().replace("postgresql:", "postgresql+psycopg:") for _ in range(2)]
    made, migrated = both_layouts(*map(create_engine, urls))
    assert made == migrated
    assert len(made) == 9


async def test_an_older_store_is_brought_up_to_date_with_all_that_is_in_it(old: Path) -> None:
    """Revisions, claims, releases, artifacts, journal; and it goes on from there."""
    store = SqlStore.open(old, StillClock())
    record = await store.environment("dev")
    assert (record.head, record.next_number, record.place) == (3, 5, "")
    [claim] = record.claims
    assert (claim.components, claim.neighbours, claim.unsettled) == (("a",), (), "")
    assert [sorted(revision.pins) for revision in await store.history("dev")] == [["a"], ["a", "b"], ["a", "b"]]
    assert await store.releases() == [a_release()]
    assert [found.location for found in await store.artifacts(a_release().digest)] == ["backend"]
    assert [event.kind for event in await store.events()] == ["committed"] * 3 + ["noted"]
    assert (await store.plan(claim.plan)).changes[0].number == 4
    with pytest.raises(ClaimRefused, match="process 77 on vm"):
        await claimed(store, a_plan(3, 5, {"a": a_pin("4")}))
    await store.release_claim(await store.take_over(claim, holder="heir", lease=30, vanished=True))
    assert await committed(store, {"a": a_pin("4")}) == 5
    await store.put_artifact(Artifact("sha256:i", a_release().digest, "image", "any", "there"))
    await store.close()
    assert whole(old)[0] == f"({VERSION},)"
    again = SqlStore.open(old, StillClock())
    assert (await again.environment("dev")).head == 5
    await again.close()


async def test_a_store_whose_migration_fails_in_the_middle_is_as_it_was(old: Path) -> None:
    """The second of its steps cannot be done: the first is taken back, and the older Tidegate can go on."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE INDEX events_of_kind ON events (kind)")
    before = whole(old)
    with pytest.raises(StoreError, match=f"version 1, and making version {VERSION}") as refused:
        SqlStore.open(old, StillClock())
    assert "events_of_kind already exists" in str(refused.value)
    assert whole(old) == before
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DROP INDEX events_of_kind")
    await SqlStore.open(old, StillClock()).close()


async def test_a_database_of_a_server_whose_migration_fails_is_as_it_was(postgres: Postgres) -> None:
    """The same in PostgreSQL: also what changes tables is undone."""
    url = old_database(postgres)
    name = url.rsplit("/", 1)[1]
    postgres.execute("CREATE INDEX events_of_kind ON events (kind)", name)
    with pytest.raises(StoreError, match=f"version 1, and making version {VERSION}"):
        SqlStore.open(url, StillClock())
    assert postgres.execute("SELECT version_num FROM tidegate_version", name) == [("1",)]
    columns = "SELECT 1 FROM information_schema.columns WHERE table_name = 'environments' AND column_name = 'place'"
    assert postgres.execute(columns, name) == []
    postgres.execute("DROP INDEX events_of_kind", name)
    store = SqlStore.open(url, StillClock())
    assert await committed(store, {"a": a_pin("1")}) == 1
    await store.close()


def old_database(postgres: Postgres) -> str:
    """A database with tables of version 1."""
    url = postgres.database()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        migrate(connection, 0, "1")
    engine.dispose()
    return url


OPENER = """
import sys
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock
print("ready", flush=True)
sys.stdin.readline()
SqlStore.open(sys.argv[1], StillClock())
print("open", flush=True)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_store_may_be_opened_by_several_processes_at_once(
    kind: str, old: Path, request: pytest.FixtureRequest
) -> None:
    """One of them migrates it, the others wait; nobody meets half of it."""
    where = str(old) if kind == "sqlite" else old_database(request.getfixturevalue("postgres"))
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in openers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in openers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in openers] == ["open\n"] * 2
    assert [process.returncode for process in openers] == [0, 0]


TWICE = """
import sys
from types import SimpleNamespace
from tidegate.stores.sql import SqlStore
for _ in range(2):
    SqlStore.open(sys.argv[1], SimpleNamespace(now=float))
print([name for name in ("alembic", "psycopg") if name in sys.modules])
"""


def test_opening_a_store_that_is_up_to_date_loads_nothing_for_migrations(tmp_path: Path) -> None:
    """Every command opens the store: what only a migration needs would make each of them slower."""
    ran = subprocess.run(
        [sys.executable, "-c", TWICE, str(tmp_path / "store.db")], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "[]\n", ran.stderr
