"""Running a build command: a process group of its own, a bare environment, its output kept and passed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
import psutil
from anyio.abc import Process

LONGEST = 1 << 16  # bytes of one line; longer ones are cut
SHOWN = 20  # last lines that an error shows
DRAIN = 2.0  # seconds for output of a process that left the group and holds it open


def bare_environment(given: Mapping[str, str]) -> dict[str, str]:
    """PATH, HOME and LANG of the caller and what is given. The programs that come with Tidegate (`uv`) are found
    after all others."""
    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    env = {"PATH": f"{path}{os.pathsep}{own}", "LANG": os.environ.get("LANG", "C.UTF-8")}
    if "HOME" in os.environ:
        env["HOME"] = os.environ["HOME"]
    return {**env, **given}


async def run_command(
    command: str,
    *,
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None],
    patience: float = 0.0,
) -> tuple[int, tuple[str, ...]]:
    """(exit status, last lines). Ends at the first line of the command that fails. Nothing of its process group is
    left afterwards, also when this is cancelled; then the command first has `patience` seconds after a SIGTERM, to
    tidy up. Output goes to the log and, line by line, to `on_line`.

    Raises `OSError` if the log cannot be written or the command not be started.
    """
    last: deque[str] = deque(maxlen=SHOWN)

    def line(text: bytes) -> None:
        shown = text.decode(errors="replace").rstrip("\r")
        last.append(shown)
        on_line(shown)

    with log.open("ab") as kept:
        process = await anyio.open_process(
            ["/bin/sh", "-e", "-c", command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with anyio.create_task_group() as group:
                drained = anyio.CancelScope()
                group.start_soon(_pass_on, process, drained, kept.write, line)
                status = await process.wait()
                _end(process)  # what the command left in the background holds files of the tree
                drained.deadline = anyio.current_time() + DRAIN
        except ExceptionGroup as failed:  # writing the log, or `on_line`; there is one task that can fail
            raise failed.exceptions[0] from failed
        finally:
            with anyio.CancelScope(shield=True):
                if patience and process.returncode is None:
                    process.terminate()
                    with anyio.move_on_after(patience):
                        await process.wait()
                _end(process)
                await process.aclose()
    return status, tuple(last)


def end_leftovers(folder: Path) -> None:
    """Kill what an interrupted build left running in `folder`: its processes outlive a builder that was killed.

    They are known by where they work and by having no terminal, which a person who looks around there has.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.terminal() is None and Path(process.cwd()).is_relative_to(folder):
                process.kill()
                process.wait(DRAIN)


async def _pass_on(
    process: Process, until: anyio.CancelScope, keep: Callable[[bytes], object], line: Callable[[bytes], None]
) -> None:
    assert process.stdout is not None
    rest = b""
    with until:
        async for block in process.stdout:
            keep(block)
            *lines, rest = (rest + block).split(b"\n")
            for text in lines:
                line(text[:LONGEST])
            rest = rest[:LONGEST]
    if rest:
        line(rest)


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
