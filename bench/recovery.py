"""What it costs to be put in order after a crash, and to look at a long past.

Four real services in a chain. A plain `up` of a new release is the peer; then the same `up` is killed right after the
switch, and the time runs from the kill to the moment when the parent answers again and the claim is gone: the agent
has noticed, and started `tidegate recover` by itself.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.apply import RealClock
from bench.chain import links, write_chain, write_release
from bench.project import PATIENCE, TIDEGATE, Failed, Project, project
from bench.store import events_cost
from bench.table import Row, show
from tidegate.ports.store import EnvironmentRecord, Event
from tidegate.stores.sql import SqlStore

SIZE = 4
TIMES = 3
EVENTS = 100_000
LOOKS = 5


def journal(made: Project) -> list[Event]:
    """All events of dev."""

    async def read() -> list[Event]:
        store = SqlStore.open(made.state / "store.db", RealClock())
        try:
            return list(await store.events(environment="dev", limit=10_000))
        finally:
            await store.close()

    return asyncio.run(read())


def record(made: Project) -> EnvironmentRecord:
    """Head and claims of dev."""

    async def read() -> EnvironmentRecord:
        store = SqlStore.open(made.state / "store.db", RealClock())
        try:
            return await store.environment("dev")
        finally:
            await store.close()

    return asyncio.run(read())


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Until it holds. Raises `Failed` if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.005)


def crash(made: Project) -> float:
    """Seconds from the kill of `up`, right after the switch, to the parent in order."""
    before = record(made).head
    known = len(journal(made))
    program = made.begin("up", "dev", "--yes")
    wait("the switch", lambda: any(e.kind == "step-done" and e.step == "route" for e in journal(made)[known:]))
    program.kill()
    begun = time.perf_counter()
    program.communicate()
    wait("recovery", lambda: not record(made).claims)
    taken = time.perf_counter() - begun
    if record(made).head != before:
        raise Failed("the change was committed before it could be killed")
    return taken


def looking(made: Project) -> dict[str, tuple[float, float]]:
    """Command -> (seconds from its first own line to the end, wall seconds with the start of Python); medians."""
    file = made.state / "store.db"
    raw = sqlite3.connect(file, timeout=30)
    raw.executemany(
        "INSERT INTO events (at, environment, actor, kind, plan, step, epoch, subject, body)"
        " VALUES (1, 'dev', 'ana', 'noted', ?, '', 1, '', '{}')",
        ((f"p{place % 1000}",) for place in range(EVENTS)),
    )
    raw.commit()
    raw.close()
    found = {}
    for command in ("history", "status"):
        inside, wall = [], []
        for _ in range(LOOKS):
            begun = time.perf_counter()
            subprocess.run([TIDEGATE, command, "dev"], cwd=made.root, env=made.env, capture_output=True, check=True)
            wall.append(time.perf_counter() - begun)
            inside.append(_inside(made, command))
        found[command] = (statistics.median(inside), statistics.median(wall))
    return found


def _inside(made: Project, command: str) -> float:
    """Seconds that the command takes once Python and its imports are there."""
    script = (
        "import contextlib, io, json, sys, time\n"
        "from tidegate.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    run(sys.argv[1:])\n"
        "    begun = time.perf_counter()\n"
        "    status = run(sys.argv[1:])\n"
        "    taken = time.perf_counter() - begun\n"
        "print(json.dumps([status, taken]))\n"
    )
    python = Path(TIDEGATE).with_name("python")
    done = subprocess.run(
        [python, "-c", script, command, "dev"], cwd=made.root, env=made.env, capture_output=True, text=True, check=True
    )
    status, taken = json.loads(done.stdout)
    if status:
        raise Failed(f"`tidegate {command}` ended with {status}")
    return float(taken)


def rows() -> list[Row]:
    """Recovery beside apply, the journal's share of apply, and looking at a long past."""
    with project() as made:
        write_chain(made, SIZE, environments="  dev: {observe: 1s}\n")
        write_release(made, SIZE, "v0")
        made.tidegate("up", "dev", "--yes")
        plain, crashed = [], []
        for turn in range(TIMES):
            write_release(made, SIZE, f"a{turn}")
            before = len(journal(made))
            plain.append(made.tidegate("up", "dev", "--yes"))
            events = len(journal(made)) - before
            write_release(made, SIZE, f"b{turn}")
            crashed.append(crash(made))
        looks = looking(made)
        if made.status()["dev", links(1)[0]]["state"] != "running":
            raise Failed("the chain does not run at the end")
    with tempfile.TemporaryDirectory() as folder:
        costs = events_cost(Path(folder))
    apply, recovery = statistics.median(plain), statistics.median(crashed)
    against = f"{recovery / apply:.2f} × the plain `up` ({apply:.2f} s, of which it observes 1 s)"
    found = [
        Row(f"{SIZE} services, `up` killed after the switch: parent in order again", recovery, "s", against),
        *(
            Row(
                f"journal of that plain `up`, {name}",
                100 * events * cost / 1000 / apply,
                "% of it",
                f"{events} events of {cost:.2f} ms, one after the other",
            )
            for name, cost in costs.items()
        ),
    ]
    for command, (inside, wall) in looks.items():
        against = f"{wall:.2f} s as a command, with the start of Python"
        found.append(Row(f"`{command}` with {EVENTS:,} events", inside, "s", against, 0.2))
    return found


def main() -> None:
    """Print the rows."""
    show("Recovery", rows())


if __name__ == "__main__":
    main()
