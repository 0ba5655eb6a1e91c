"""Processes that cost no start of Python: forks of the one that runs the tests."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import psutil

PATIENCE = 60  # seconds, after which the kernel ends a process that hangs


def fork(work: Callable[[], Coroutine[Any, Any, object]], *, patience: int = PATIENCE) -> int:
    """Let a process of its own do something; its pid. It ends with 0, or with 1 and a traceback on standard error.

    It begins where this one stands, so nothing may be open here that it would share: no store, no event loop.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the test runner hold no lock of ours
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(patience)
        anyio.run(work)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a fork: its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(work: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Both."""
    return ended(fork(work))


def below(place: Path) -> Iterator[psutil.Process]:
    """All living processes that were started from a folder, work in it, or have it among their arguments."""
    for process in psutil.process_iter():
        found = False
        with suppress(psutil.Error, OSError):
            about = [*process.cmdline(), process.cwd()]
            found = any(part.startswith(str(place)) for part in about) and process.status() != psutil.STATUS_ZOMBIE
        if found:
            yield process
