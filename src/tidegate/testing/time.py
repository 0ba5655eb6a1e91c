"""Virtual time: an event loop that jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits while a timer is due some time: it moves the loop's clock there."""

    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `BaseSelector.select`."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time passes only when everybody waits for it."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.jump = self._jump
        self._virtual = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the loop was made, in virtual time."""
        return self._virtual

    def _jump(self, seconds: float) -> None:
        self._virtual += seconds


class VirtualClock:
    """A `Clock` in the time of the running loop."""

    def now(self) -> float:
        """As `Clock.now`."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await anyio.sleep(seconds)


def run_virtually(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end in virtual time."""
    return anyio.run(work, backend_options={"loop_factory": VirtualTimeLoop})
