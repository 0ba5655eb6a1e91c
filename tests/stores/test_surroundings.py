"""A store file in bad surroundings: locked, read-only, on a full disk. Nothing is half written, and what to do is
said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from tidegate.errors import StoreError
from tidegate.model.pins import Pin
from tidegate.ports.store import Event
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock, a_pin, a_plan, claimed, committed

pytestmark = pytest.mark.anyio
MANY: dict[str, Pin | None] = {f"c{place}": a_pin(f"{place}" * 50) for place in range(1000)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


async def test_a_writer_that_takes_its_time_is_waited_for(file: Path) -> None:
    """In a thread: whatever else this process does goes on meanwhile."""
    store = SqlStore.open(file, StillClock())
    done: list[str] = []

    async def append() -> None:
        await store.append(Event("dev", "waited"))
        done.append("appended")

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append)
            for _ in range(20):
                await anyio.sleep(0.01)
            assert done == []
            other.execute("COMMIT")
    assert done == ["appended"]
    assert [event.kind for event in await store.events()] == ["waited"]
    await store.close()


async def test_a_writer_that_does_not_end_is_named_as_the_cause(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error; reading goes on, a store can still be opened, and the next call after it ended works."""
    monkeypatch.setattr("tidegate.stores.sqlite.BUSY", 0.1)
    store = SqlStore.open(file, StillClock())
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another process has been writing to it for long"):
            await store.append(Event("dev", "refused"))
        second = SqlStore.open(file, StillClock())
        assert list(await second.events()) == []
        await second.close()
    await store.append(Event("dev", "noted"))
    assert [event.kind for event in await store.events()] == ["noted"]
    await store.close()


async def test_a_folder_that_cannot_be_written_is_named(small_disk: Path) -> None:
    """A new store is refused; one that is there too, and it is whole when it may be written again."""
    file = small_disk / "store.db"
    store = SqlStore.open(file, StillClock())
    await committed(store, {"a": a_pin("1")})
    await store.close()
    remount(small_disk, "ro")
    for place in (file, small_disk / "new.db", small_disk / "new" / "store.db"):
        with pytest.raises(StoreError, match="Check that you may write there") as refused:
            SqlStore.open(place, StillClock())
        assert str(small_disk) in str(refused.value)
    remount(small_disk, "rw")
    store = SqlStore.open(file, StillClock())
    assert (await store.environment("dev")).head == 1
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    """The same for a plain user."""
    folder = tmp_path / "shut"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Check that you may write there"):
        SqlStore.open(folder / "store.db", StillClock())
    assert list(folder.iterdir()) == []


async def test_a_store_that_may_not_grow_leaves_nothing_half_written(file: Path) -> None:
    """The limit strikes in the middle of a transaction. The claim stands, and the same commit works afterwards."""
    store = SqlStore.open(file, StillClock())

    def limit(pages: int) -> None:
        with store._reading.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    await commit_on_full_disk(store, fill=lambda: limit(1), free=lambda: limit(1 << 30))
    await store.close()


async def test_a_full_disk_leaves_nothing_half_written(small_disk: Path) -> None:
    """The same on a real one; opening there says so too."""
    store = SqlStore.open(small_disk / "store.db", StillClock())
    ballast = small_disk / "ballast"

    def fill() -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as out:
            while True:
                out.write(b"x" * 4096)

    await commit_on_full_disk(store, fill=fill, free=ballast.unlink)
    await store.close()
    fill()
    with pytest.raises(StoreError, match="The disk is full"):
        SqlStore.open(small_disk / "new.db", StillClock())
    ballast.unlink()
    for name in ("new.db", "store.db"):
        await SqlStore.open(small_disk / name, StillClock()).close()


async def commit_on_full_disk(store: SqlStore, *, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """What it would take does not fit; when there is space again, it is made."""
    await committed(store, {"a": a_pin("1")})
    [claim] = await claimed(store, a_plan(1, 2, MANY))
    fill()
    with pytest.raises(StoreError, match="The disk is full: free some space, then repeat"):
        await store.commit(claim, MANY, by="ana", why="")
    record = await store.environment("dev")
    assert (record.head, record.claims) == (1, (claim,))
    assert [event.subject for event in await store.events()] == ["dev@1"]
    assert [revision.number for revision in await store.history("dev")] == [1]
    free()
    made = await store.commit(claim, MANY, by="ana", why="")
    assert (made.number, made.parent, len(made.pins)) == (2, 1, 1001)
    with store._reading.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
