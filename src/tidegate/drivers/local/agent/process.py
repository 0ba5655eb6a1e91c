"""Processes that outlive the agent: each leads a process group of its own, is known by pid and start time, and
is waited for by pidfd where the system has it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

LINUX = sys.platform == "linux"
POLL = 0.02


def identity(pid: int) -> str:
    """What tells this process from any other that ever had its pid; "" when it is gone or a zombie."""
    if LINUX:
        stat = _stat(pid)
        return "" if stat is None or stat[0] in "ZX" else f"{_boot()}/{stat[19]}"
    import psutil  # noqa: PLC0415 - not needed on Linux, and 30 ms

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return ""


def environment(pid: int) -> dict[str, str]:
    """The environment variables a process was started with, as the kernel remembers them; empty if unknown.

    A program that overwrites its own argument area (to show a title) can spoil them; callers check.
    """
    try:
        if LINUX:
            content = Path(f"/proc/{pid}/environ").read_bytes()
            pairs = (item.partition(b"=") for item in content.split(b"\0") if b"=" in item)
            return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
        import psutil  # noqa: PLC0415 - see above

        return dict(psutil.Process(pid).environ())
    except Exception:
        return {}


def group_lives(leader: int) -> bool:
    """Whether the process group has a member that is not a zombie."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS: only zombies are left
        return False
    if not LINUX:
        return True
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None and stat[0] not in "ZX" and int(stat[2]) == leader:
                return True
    return False


def members(leader: int) -> set[int]:
    """The process group and the session that a process leads, and all that they started; empty if unknown."""
    if not LINUX:
        return set()
    known = {int(entry.name): _stat(int(entry.name)) for entry in os.scandir("/proc") if entry.name.isdigit()}
    stats = {pid: stat for pid, stat in known.items() if stat is not None}
    found = {pid for pid, stat in stats.items() if leader in (pid, int(stat[2]), int(stat[3]))}
    young = found
    while young:
        young = {pid for pid, stat in stats.items() if int(stat[1]) in young} - found
        found |= young
    return found


def end_writers(log: Path) -> None:
    """Kill every process whose standard output is this file: leftovers of an instance whose leader is gone.

    Does nothing where the system cannot tell.
    """
    if not LINUX:
        return
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if Path(entry.path, "fd", "1").readlink() == log:
                    os.kill(int(entry.name), signal.SIGKILL)


def end_group(leader: int, start: str) -> None:
    """Kill what is left of a process group whose leader is gone; `start` is what `identity` said of the leader.

    As long as a member lives, no other process gets the leader's pid. Does nothing where the system cannot tell.
    """
    ours = LINUX and start.partition("/")[0] == _boot()
    if ours and not identity(leader) and group_lives(leader):
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


class Process:
    """A process that leads its own session and process group.

    `exited` becomes its exit status: negative for a signal, None when it was adopted, since only a parent is told.
    What it started in its process group is killed when it exits by itself.
    """

    def __init__(self, pid: int, start: str, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.identity = start
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._child = child
        self._stopping = False
        self._watch()

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        folder: str,
        env: Mapping[str, str],
        output: int,
        source: int = subprocess.DEVNULL,
    ) -> Process:
        """Start a process with nothing but `env`, writing to the file descriptor `output` and reading from `source`.

        Raises OSError.
        """
        child = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(env),
            stdin=source,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        return cls(child.pid, identity(child.pid), child)

    @classmethod
    def adopt(cls, pid: int, start: str) -> Process | None:
        """A process that another agent started; None when it is gone."""
        return cls(pid, start, None) if pid and start and identity(pid) == start else None

    async def stop(self, grace: float) -> None:
        """SIGTERM to the process group, and SIGKILL to what is left of it after `grace` seconds.

        Returns when no member lives. When cancelled, kills at once.
        """
        self._stopping = True
        deadline = time.monotonic() + grace
        try:
            self._signal(signal.SIGTERM)
            async with asyncio.timeout(grace):
                await asyncio.shield(self.exited)
            pause = POLL
            while group_lives(self.pid) and time.monotonic() < deadline:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.2)
        except TimeoutError:
            pass
        finally:
            if not self.exited.done() or group_lives(self.pid):
                self._signal(signal.SIGKILL)
        await asyncio.shield(self.exited)
        gone_by = time.monotonic() + 5
        while group_lives(self.pid) and time.monotonic() < gone_by:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(POLL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(self.pid)
            except ProcessLookupError:
                loop.call_soon(self._ended)
                return
            loop.add_reader(descriptor, self._readable, descriptor)
        else:
            loop.call_later(POLL, self._look)

    def _readable(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._ended()

    def _look(self) -> None:
        gone = self._child.poll() is not None if self._child else identity(self.pid) != self.identity
        if gone:
            self._ended()
        else:
            asyncio.get_running_loop().call_later(0.1, self._look)

    def _ended(self) -> None:
        if not self._stopping:
            # Before the leader is reaped its pid cannot be given to anybody else, so this hits nobody else's group.
            self._signal(signal.SIGKILL)
        status = self._child.wait() if self._child else None
        if not self.exited.done():
            self.exited.set_result(status)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third one (state) on."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return content.rpartition(")")[2].split()


@cache
def _boot() -> str:
    """Start times count from the boot of the machine, so they say nothing without it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
