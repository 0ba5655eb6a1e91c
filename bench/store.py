"""What the store costs: one journal event beside one bare SQLite insert, and reading a long history."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from bench.apply import RealClock
from bench.operators import durable_postgres
from bench.planning import fleet, running
from bench.table import Row, show
from tidegate.model.encoding import plan_from_json, plan_to_json
from tidegate.planning import Policy, make_plan
from tidegate.ports.store import Event
from tidegate.stores.sql import SqlStore

APPENDS = 500
EVENTS = 100_000
COMPONENTS = 1000
TIMES = 5


async def append(url: str) -> float:
    """Milliseconds of one journal event."""
    store = SqlStore.open(url, RealClock())
    event = Event("dev", "step-begun", "bench", "sha256:p", "start:a-r1", 1, "a", {"because": "x" * 80})
    await store.append(event)
    begun = time.perf_counter()
    for _ in range(APPENDS):
        await store.append(event)
    taken = time.perf_counter() - begun
    await store.close()
    return taken / APPENDS * 1000


def bare_insert(file: Path) -> float:
    """Milliseconds of one insert and commit into a table of the same kind of database as SQLite's."""
    bare = sqlite3.connect(file, isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=NORMAL")
    bare.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body TEXT)")
    begun = time.perf_counter()
    for _ in range(APPENDS):
        bare.execute("INSERT INTO events (body) VALUES (?)", ("x" * 200,))
    taken = time.perf_counter() - begun
    bare.close()
    return taken / APPENDS * 1000


def events_cost(folder: Path) -> dict[str, float]:
    """Milliseconds of one journal event by kind of store; PostgreSQL, with each commit on its disk, if installed."""
    found = {"SQLite": anyio.run(append, f"sqlite:///{folder}/append.db")}
    with durable_postgres() as server:
        if server is not None:
            found["PostgreSQL"] = anyio.run(append, server.database())
    return found


async def long_history(folder: Path) -> float:
    """Milliseconds to read the last 1,000 events of one environment out of `EVENTS`; median."""
    file = folder / "long.db"
    store = SqlStore.open(file, RealClock())
    raw = sqlite3.connect(file)
    raw.executemany(
        "INSERT INTO events (at, environment, actor, kind, plan, step, epoch, subject, body)"
        " VALUES (1, ?, 'ana', 'noted', ?, '', 1, '', '{}')",
        ((f"e{place % 10}", f"p{place % 1000}") for place in range(EVENTS)),
    )
    raw.commit()
    raw.close()
    taken = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        found = await store.events(environment="e3", limit=1000)
        taken.append(time.perf_counter() - begun)
        if len(found) != 1000:
            raise RuntimeError(f"read {len(found)} events")
    await store.close()
    return statistics.median(taken) * 1000


def large_plan() -> tuple[float, float, int]:
    """(milliseconds to write a plan of `COMPONENTS` new components as JSON, to read it back, its steps); medians."""
    releases, _, wanted = fleet(COMPONENTS)
    plan = make_plan(
        environment="bench",
        parent=0,
        number=1,
        current={},
        wanted=wanted,
        observed=running("bench", {}, releases),
        releases=releases,
        policy=Policy(),
    )
    written, read = [], []
    for _ in range(TIMES):
        begun = time.perf_counter()
        encoded = plan_to_json(plan)
        between = time.perf_counter()
        if plan_from_json(encoded) != plan:
            raise RuntimeError("the plan that was read is another")
        written.append(between - begun)
        read.append(time.perf_counter() - between)
    steps = sum(len(change.steps) for change in plan.changes)
    return statistics.median(written) * 1000, statistics.median(read) * 1000, steps


def rows() -> list[Row]:
    """What the store and its documents cost."""
    with tempfile.TemporaryDirectory() as folder:
        costs = events_cost(Path(folder))
        floor = bare_insert(Path(folder) / "bare.db")
        history = anyio.run(long_history, Path(folder))
    written, read, steps = large_plan()
    return [
        *(
            Row(f"one journal event, {name}", cost, "ms", f"{cost / floor:.1f} × a bare SQLite insert ({floor:.3f} ms)")
            for name, cost in costs.items()
        ),
        Row("the last 1,000 events of an environment", history, "ms", f"out of {EVENTS:,}"),
        Row("write a plan as JSON", written, "ms", f"{steps:,} steps, {COMPONENTS:,} components"),
        Row("read it back, strictly", read, "ms", f"{read / written:.1f} × writing it"),
    ]


def main() -> None:
    """Print the rows."""
    show("Store", rows())


if __name__ == "__main__":
    main()
