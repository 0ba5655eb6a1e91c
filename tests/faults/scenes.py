"""One environment over a kept target and a store in a file, and the executors that change it, each a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import anyio.lowlevel
from sqlalchemy import Connection

from tests.execution.places import Still
from tests.faults.kept import KeptTarget
from tests.faults.points import Points, WatchedTarget, watched_store
from tests.planning.worlds import release
from tidegate.execution import Applied, Executor, Place, Recovery
from tidegate.execution.settle import head_pins
from tidegate.model.component import Hook, Kind, Release
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.model.plan import Plan
from tidegate.planning import Limit, Policy, make_plan
from tidegate.ports.store import Store
from tidegate.ports.target import Target
from tidegate.stores.sql import SqlStore

T = TypeVar("T")
VICTIM, NEXT, LAST = "here:1:1", "here:2:2", "here:3:3"  # holders, in the order in which they come


@dataclass(frozen=True)
class Work:
    """What changes: pins by version, and their releases."""

    versions: Mapping[int, Pins]
    releases: Mapping[str, Release]


def chain() -> Work:
    """Four services; each but the first needs the one before."""
    return _work(release, "abcd")


def mixed_chain() -> Work:
    """The same, but that one has migrations, one must not overlap, and a worker needs the last of them."""

    def make(name: str, version: int, needs: tuple[str, ...]) -> Release:
        match name:
            case "a":
                before, after = Hook(f"expand {version}", f"shrink {version}"), Hook(f"contract {version}")
                return release(name, version, needs, before=before, after=after)
            case "c":
                return release(name, version, needs, overlap=False)
            case "w":
                return release(name, version, needs, Kind.WORKER)
            case _:
                return release(name, version, needs)

    return _work(make, "abcdw")


def _work(make: Callable[[str, int, tuple[str, ...]], Release], names: str) -> Work:
    releases: dict[str, Release] = {}
    versions: dict[int, dict[str, Pin]] = {1: {}, 2: {}}
    for version, pins in versions.items():
        for place, name in enumerate(names):
            made = make(name, version, tuple(names[max(0, place - 1) : place]))
            releases[made.digest] = made
            pins[name] = Pin(made.digest, "", Shape(replicas=1 if made.kind is Kind.WORKER else 2))
    return Work(versions, releases)


@dataclass
class Hands:
    """One process at `dev`: `store` and `target` are what it uses."""

    store: Store
    target: Target
    releases: Mapping[str, Release]
    holder: str
    observe: int = 5
    vanished: Callable[[str], bool] = field(default=lambda _: True)

    async def plan(self, wanted: Pins) -> Plan:
        """As `up` plans."""
        record = await self.store.environment("dev")
        return make_plan(
            environment="dev",
            parent=record.head,
            number=record.next_number,
            current=await self.pins(),
            wanted=wanted,
            observed=await self.target.observe("dev"),
            releases=self.releases,
            policy=Policy(observe=self.observe),
            held=frozenset(name for claim in record.claims for name in claim.components),
        )

    async def apply(self, wanted: Pins) -> Applied:
        """Plan and apply; nothing is recovered first."""
        plan = await self.plan(wanted)
        executor = Executor(self.store, self.target, holder=self.holder, by="tests", reporter=lambda _: None)
        return await executor.apply(plan, self.releases)

    async def recover(self) -> None:
        """As the next command does before anything else; whoever was there before is gone."""
        await Recovery(
            Place(self.store, self.target, Limit()),
            holder=self.holder,
            by="tests",
            report=lambda _: None,
            vanished=self.vanished,
        ).recover("dev", by_hand=False)

    async def pins(self) -> Pins:
        """Of the head."""
        return await head_pins(self.store, await self.store.environment("dev"))


class ThreadlessStore(SqlStore):
    """Without a thread of its own points always come in the same order, and much faster."""

    async def _read(self, work: Callable[[Connection], T]) -> T:
        await anyio.lowlevel.checkpoint()
        return self._transact(self._reading, work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        await anyio.lowlevel.checkpoint()
        return self._transact(self._writing, work)


@cache
def store_in(folder: Path) -> SqlStore:
    """One for each folder, also when it is closed and used again: what was compiled for it is known already, here and
    in forks."""
    return ThreadlessStore.open(folder / "store.db", Still())


@asynccontextmanager
async def simulated(folder: Path, work: Work, holder: str, points: Points | None = None) -> AsyncIterator[Hands]:
    """Hands over what is kept in a folder."""
    points = points or Points()
    store = store_in(folder)
    target = KeptTarget(folder / "target", work.releases, points)
    try:
        yield Hands(watched_store(store, points), WatchedTarget(target, points), work.releases, holder)
    finally:
        await store.close()


def executing(folder: Path, work: Work, holder: str, points: Points, act: Callable[[Hands], Any]) -> Callable[[], Any]:
    """What one process does from its start to its end."""

    async def whole() -> None:
        async with simulated(folder, work, holder, points) as hands:
            await act(hands)

    return whole
