"""Ctrl-C and SIGTERM in the middle of a change. Loads an event loop: only what works with one imports this."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Never, Self

import anyio

if TYPE_CHECKING:
    from tidegate.execution import Executor


@dataclass
class Interruption:
    """Ctrl-C and SIGTERM while it is entered: the first stops what goes forward, the second leaves at once.

    While there is no executor, `scope` is cancelled. `asked` says whether it happened. `going_on` gives what to say
    where the work goes on by itself without this command, which then leaves at once; "" where it does not.
    """

    say: Callable[[str], None]
    leave: Callable[[], None]
    environments: tuple[str, ...] = ()
    going_on: Callable[[], str] = str
    executors: list[Executor] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    asked: bool = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        names = " ".join(self.environments)
        if text := self.going_on():
            self._leave(text)
        if self.asked:
            self._leave(f"Left as it is. It is put back without you; `tidegate recover {names}` waits for that.")
        self.asked = True
        if not self.executors:
            self.scope.cancel()
            return
        self.say(f"Stopping: putting everything back … (Ctrl-C again to leave it to `tidegate recover {names}`)")
        for executor in self.executors:
            executor.stop()

    def _leave(self, text: str) -> Never:
        self.leave()
        self.say(text)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # undo is shielded from everything else, and that is what was asked to be left
