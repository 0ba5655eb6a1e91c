"""What a command that runs elsewhere has of the person's terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest

# Says the size of its terminal, then what is typed, until Ctrl-C.
PROGRAM = """
import asyncio
from tidegate.cli.terminal import connected

async def sizes(streams):
    async for size in streams.size:
        streams.stdout(f"{size[0]}x{size[1]}\\n".encode())

async def main():
    task = asyncio.current_task()
    with connected(task.cancel) as streams:
        sizing = asyncio.create_task(sizes(streams))
        async for data in streams.stdin:
            streams.stdout(repr(data).encode())
            if data == b"\\x03":
                return

asyncio.run(main())
"""


def _until(descriptor: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(descriptor, 1024)


@pytest.mark.parametrize("end", [b"\x03", signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_terminal_is_the_commands_own_and_afterwards_as_it_was(end: bytes | signal.Signals) -> None:
    """Its size is told, also when it changes; Ctrl-C is typed and ends nobody here."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 91, 0, 0))
        before = termios.tcgetattr(theirs)
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            _until(ours, b"91x33")
            assert termios.tcgetattr(theirs) != before
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
            child.send_signal(signal.SIGWINCH)  # it is no session leader of this terminal
            _until(ours, b"120x50")
            if isinstance(end, bytes):
                os.write(ours, end)
                _until(ours, b"x03")
            else:
                child.send_signal(end)
            child.communicate(timeout=20)
        finally:
            child.kill()
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_without_a_terminal_input_is_read_to_its_end() -> None:
    """From a pipe, a file, or nothing at all."""
    program = """
import asyncio
from tidegate.cli.terminal import connected

async def main():
    with connected(lambda: None) as streams:
        assert streams.size is None
        async for data in streams.stdin:
            streams.stdout(data)

asyncio.run(main())
"""
    command = f"printf piped | {sys.executable} -c '{program}'; {sys.executable} -c '{program}' < /dev/null"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=20, check=True)
    assert done.stdout == b"piped"
