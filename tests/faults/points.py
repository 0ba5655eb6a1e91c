"""The moments at which something can die: before and after every write to the store and every effect on the target."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, cast

from tidegate.model.observed import Observed
from tidegate.model.step import Step
from tidegate.ports.store import Store
from tidegate.ports.target import Attends, Epoch, Outcome, Target

WRITES = {
    "append",
    "claim",
    "commit",
    "put_plan",
    "release_claim",
    "renew",
    "reserve",
    "reserve_numbers",
    "take_over",
    "unsettle",
}


def never(_number: int, _name: str) -> bool:
    """At no moment."""
    return False


class Points:
    """Counts the moments that pass. At the first for which `fatal` holds, of its number (from 1) and its name, `end` is
    called."""

    def __init__(self, fatal: Callable[[int, str], bool] = never, end: Callable[[int], None] | None = None) -> None:
        self.passed = 0
        self.ended = False
        self._fatal = fatal
        self._end = end or die

    def reach(self, name: str) -> None:
        """One moment."""
        self.passed += 1
        if not self.ended and self._fatal(self.passed, name):
            self.ended = True
            self._end(self.passed)


def at(point: int) -> Callable[[int, str], bool]:
    """The moment with this number."""
    return lambda number, _: number == point


def called(name: str) -> Callable[[int, str], bool]:
    """The first moment with this name."""
    return lambda _, other: other == name


def die(_: int) -> None:
    """End this process as the kernel does when memory is short: at once, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def watched_store(store: Store, points: Points) -> Store:
    """The same store; every write passes two points."""
    return cast("Store", _WatchedStore(store, points))


class _WatchedStore:
    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in WRITES:
            return method

        async def write(*arguments: Any, **named: Any) -> Any:
            what = f"{name} {arguments[0].kind} {arguments[0].step}" if name == "append" else name
            self._points.reach(f"before {what}")
            result = await method(*arguments, **named)
            self._points.reach(f"after {what}")
            return result

        return write


def named(step: Step) -> str:
    """`Start c`, `Route`: a step without what differs from one release to the next."""
    about = getattr(step, "group", None) or getattr(step, "run", None)
    component = about.component if about else getattr(step, "component", "")
    return f"{type(step).__name__} {component}".strip()


class WatchedTarget:
    """The same target; every step passes two points."""

    def __init__(self, target: Target, points: Points) -> None:
        self._target = target
        self._points = points

    @property
    def place(self) -> str:
        """As `Target.place`."""
        return self._target.place

    async def observe(self, environment: str) -> Observed:
        """As `Target.observe`."""
        return await self._target.observe(environment)

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """As `Target.run`."""
        self._points.reach(f"before {named(step)}")
        outcome = await self._target.run(step, epoch)
        self._points.reach(f"after {named(step)}")
        return outcome

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """As `Target.forget`."""
        await self._target.forget(environment, data=data)

    async def close(self) -> None:
        """As `Target.close`."""
        await self._target.close()

    def attending(self, environment: str) -> AbstractAsyncContextManager[None]:
        """As `Attends.attending`."""
        return self._target.attending(environment) if isinstance(self._target, Attends) else nullcontext()
