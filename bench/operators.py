"""Commits per second of five operators at one environment, each with a component of its own, on SQLite and PostgreSQL.

Every operator is a process: it plans, claims, takes all steps on a target that does nothing, commits and finishes, as
fast as it can. What is left is what the store and the operators cost each other. One operator alone is the peer.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from tests.planning.worlds import release
from tests.postgres import Postgres, programs

from bench.apply import RealClock
from bench.project import Failed
from bench.table import Row, show
from tidegate.errors import StalePlan
from tidegate.execution import Executor
from tidegate.execution.settle import head_pins, releases_of
from tidegate.model.pins import Pin, Shape
from tidegate.planning import Policy, make_plan
from tidegate.stores.sql import SqlStore
from tidegate.testing.simulated import SimulatedTarget

SECONDS = 4.0
OPERATORS = 5


async def operate(url: str, component: str, until: float) -> int:
    """Change one component until a moment (seconds since the epoch); how many commits that were."""
    store = SqlStore.open(url, RealClock())
    releases = {made.digest: made for made in (release(component, version) for version in range(2))}
    for made in releases.values():
        await store.put_release(made)
    digests = list(releases)
    target = SimulatedTarget(releases)
    commits = 0
    while time.time() < until:
        number = await store.reserve_numbers("bench", 1)
        record = await store.environment("bench")
        current = await head_pins(store, record)
        known = await releases_of(store, current)
        plan = make_plan(
            environment="bench",
            parent=record.head,
            number=number,
            current=current,
            wanted={**current, component: Pin(digests[commits % 2], "", Shape())},
            observed=target.look("bench"),
            releases={**known, **releases},
            policy=Policy(),
            scope={component},
        )
        executor = Executor(store, target, holder=f"bench:{component}:1", by=component, reporter=lambda _: None)
        try:
            applied = await executor.apply(plan, releases)
        except StalePlan:
            continue  # somebody else committed in between: plan again, as `up` does
        if not applied.succeeded:
            raise RuntimeError(str(applied.changes[0].failure))
        commits += 1
    await store.close()
    return commits


def throughput(url: str, operators: int) -> float:
    """Commits per second of so many operators together."""
    SqlStore.open(url, RealClock())  # its tables are there before the clock runs
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.operators", url, f"component-{place}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in range(operators)
    ]
    for program in started:
        assert program.stdout is not None
        program.stdout.readline()  # it is ready
    until = str(time.time() + SECONDS)
    for program in started:
        assert program.stdin is not None
        program.stdin.write(f"{until}\n")
        program.stdin.flush()
    commits = 0
    for program in started:
        said, _ = program.communicate(timeout=SECONDS + 60)
        if program.returncode:
            raise Failed(f"an operator ended with {program.returncode}")
        commits += int(said)
    return commits / SECONDS


@contextmanager
def durable_postgres() -> Iterator[Postgres | None]:
    """A server with the settings it comes with: what it answered is on the disk. None if it is not installed."""
    found = programs()
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tg-pg-", dir="/tmp") as folder:
        server = Postgres(found, Path(folder), settings={})
        try:
            yield server
        finally:
            server.stop()


def rows() -> list[Row]:
    """SQLite, then PostgreSQL."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        found.append(_row("SQLite", [f"sqlite:///{folder}/{name}.db" for name in ("one", "many")]))
    with durable_postgres() as server:
        if server is None:
            return [*found, Row("5 operators, PostgreSQL", None, "commits/s", "PostgreSQL is not installed")]
        return [*found, _row("PostgreSQL", [server.database(), server.database()])]


def _row(name: str, urls: list[str]) -> Row:
    one, many = throughput(urls[0], 1), throughput(urls[1], OPERATORS)
    against = f"{many / one:.2f} × one operator alone ({one:.0f} commits/s); two processors"
    return Row(f"{OPERATORS} operators, disjoint components, {name}", many, "commits/s", against)


def main() -> None:
    """Print the rows; with arguments, be one of the operators."""
    if len(sys.argv) == 3:
        print("ready", flush=True)
        print(anyio.run(operate, sys.argv[1], sys.argv[2], float(sys.stdin.readline())))
    else:
        show("Operators", rows())


if __name__ == "__main__":
    main()
