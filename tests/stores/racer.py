"""One of several processes that use the same store: `racer.py STORE claim | race OPERATOR TIMES | die`."""

from __future__ import annotations

import json
import random
import sqlite3
import sys

import anyio

from tidegate.errors import ClaimRefused, StalePlan
from tidegate.model.pins import Pin, Shape
from tidegate.ports.store import Event
from tidegate.stores.sql import SqlStore
from tidegate.testing.store_conformance import StillClock, a_pin, a_plan, claimed

COMPONENTS = "abcdefgh"


def say(text: str) -> None:
    """To the test that started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def claim(where: str) -> None:
    """Claim the same component as all the others."""
    store = SqlStore.open(where, StillClock())
    try:
        await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        say("claimed")
    except (ClaimRefused, StalePlan):
        say("refused")
    finally:
        await store.close()


async def race(where: str, operator: str, times: int) -> None:
    """Change two components, beside a third, again and again; plan again when somebody else was quicker.

    In the end, say what the refusals said.
    """
    store = SqlStore.open(where, StillClock())
    chance = random.Random(operator)
    told: list[str] = []
    done = 0
    while done < times:
        record = await store.environment("dev")
        *changed, neighbour = chance.sample(COMPONENTS, 3)
        pin = Pin("sha256:r", "", Shape(env=(("BY", operator), ("TIME", str(done)))))
        pins: dict[str, Pin | None] = dict.fromkeys(changed, pin)
        plan = a_plan(record.head, record.next_number, pins, neighbours=[neighbour])
        try:
            [mine] = await claimed(store, plan, holder=operator)
        except (ClaimRefused, StalePlan) as refused:
            told.append(str(refused))
            continue
        body = {"changed": changed, "neighbour": neighbour}
        await store.append(Event("dev", "begun", operator, epoch=mine.epoch, body=body))
        await store.commit(await store.renew(mine, lease=30), pins, by=operator, why=str(done))
        await store.append(Event("dev", "ended", operator, epoch=mine.epoch))
        await store.release_claim(mine)
        done += 1
    await store.close()
    say(json.dumps(told))


def die(file: str) -> None:
    """Hold a transaction open that has written, and wait to be killed."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("INSERT INTO events VALUES (NULL, 1, 'dev', '', 'torn', '', '', 0, '', '{}')")
    say("written")
    sys.stdin.readline()


if __name__ == "__main__":
    where, what, *rest = sys.argv[1:]
    if what == "die":
        die(where)
    else:
        say("ready")
        sys.stdin.readline()
        anyio.run(claim, where) if what == "claim" else anyio.run(race, where, rest[0], int(rest[1]))
