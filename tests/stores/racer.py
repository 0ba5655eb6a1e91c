"""One of several processes that use the same store file: `racer.py FILE claim | commit COMPONENT TIMES | die`."""

from __future__ import annotations

import sqlite3
import sys

import anyio

from tidegate.errors import ClaimRefused, StalePlan
from tidegate.model.pins import Pin, Shape
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock, a_pin, a_plan, claimed


def say(text: str) -> None:
    """To the test that started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def claim(file: str) -> None:
    """Claim the same component as all the others."""
    store = SqlStore.open(file, StillClock())
    try:
        await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        say("claimed")
    except (ClaimRefused, StalePlan):
        say("refused")
    finally:
        await store.close()


async def commit(file: str, component: str, times: int) -> None:
    """Plan, claim and commit changes of a component of one's own; plan again when somebody else was quicker."""
    store = SqlStore.open(file, StillClock())
    done = 0
    while done < times:
        record = await store.environment("dev")
        pins: dict[str, Pin | None] = {component: Pin("sha256:r", "", Shape(replicas=done + 1))}
        try:
            [mine] = await claimed(store, a_plan(record.head, record.next_number, pins))
        except StalePlan:
            continue
        await store.commit(mine, pins, by=component, why="")
        await store.release_claim(mine)
        done += 1
    await store.close()
    say(f"committed {done}")


def die(file: str) -> None:
    """Hold a transaction open that has written, and wait to be killed."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("INSERT INTO events VALUES (NULL, 1, 'dev', '', 'torn', '', '', 0, '', '{}')")
    say("written")
    sys.stdin.readline()


if __name__ == "__main__":
    file, what, *rest = sys.argv[1:]
    if what == "die":
        die(file)
    else:
        say("ready")
        sys.stdin.readline()
        anyio.run(claim, file) if what == "claim" else anyio.run(commit, file, rest[0], int(rest[1]))
