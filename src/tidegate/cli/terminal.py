"""A person's standard streams, handed to a command that runs elsewhere. Loads an event loop: only what works with one
imports this."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from tidegate.ports.target import Streams

PIECE = 1 << 16
LEAVING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def connected(leave: Callable[[], None]) -> Iterator[Streams]:
    """The process's own streams. With a terminal on both sides the command gets one too, of the same size: what is
    typed goes to it as it is, Ctrl-C as well, and the person's terminal is as before afterwards, whatever happens.

    `leave` is called when this process is to end (SIGTERM, SIGHUP), so that this can be left.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield Streams(_writer(1), _writer(2), stdin=typed(0))
        return
    loop, before = asyncio.get_running_loop(), termios.tcgetattr(0)
    for number in LEAVING:
        loop.add_signal_handler(number, leave)
    sizes = _Sizes()
    loop.add_signal_handler(signal.SIGWINCH, sizes.look)
    tty.setraw(0)
    try:
        yield Streams(_writer(1), _writer(2), stdin=typed(0), size=sizes.all())
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        for number in (*LEAVING, signal.SIGWINCH):
            loop.remove_signal_handler(number)


async def typed(descriptor: int) -> AsyncIterator[bytes]:
    """What can be read from a descriptor as it comes, to its end. Leaves whatever was not asked for unread."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    waits = True
    try:
        loop.add_reader(descriptor, readable.set)
    except OSError:  # a file, or nothing at all: it never lets anybody wait
        waits = False
    try:
        while True:
            if waits:
                await readable.wait()
                readable.clear()
            data = os.read(descriptor, PIECE)
            if not data:
                return
            yield data
            if not waits:
                await asyncio.sleep(0)
    except OSError:
        return  # the terminal is gone
    finally:
        if waits:
            loop.remove_reader(descriptor)


class _Sizes:
    """The size of the terminal, whenever it is another."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.look()

    def look(self) -> None:
        self._changed.set()

    async def all(self) -> AsyncIterator[tuple[int, int]]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            with suppress(OSError):
                size = os.get_terminal_size(0)
                yield size.columns, size.lines


def _writer(descriptor: int) -> Callable[[bytes], None]:
    """Raises `BrokenPipeError` when nobody reads any more."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write
