"""One instance: started, asked for its health, restarted with back-off, stopped."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tidegate.drivers.local.agent.backoff import Backoff
from tidegate.drivers.local.agent.health import probe
from tidegate.drivers.local.agent.listening import ports_of, stranger
from tidegate.drivers.local.agent.process import LINUX, Process, end_writers
from tidegate.drivers.local.agent.state import InstanceRecord
from tidegate.drivers.local.logs import InstanceLog
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState, ObservedInstance

FIRST_PAUSE = 0.02
"""Between the first questions after a start; it grows."""
PAUSE_WHILE_BOOTING = 0.1
LOG_LINES = 15
"""So many of an instance's last lines are shown with its failure."""

Environment = Callable[[InstanceRecord], Mapping[str, str] | str]
"""All variables of an instance, or in words why they are not known."""
ASKED_AT_ITS_PORT = (HealthKind.HTTP, HealthKind.TCP)


class Spec(Protocol):
    """What is kept running: an instance of a group, or a resource."""

    @property
    def name(self) -> str:
        """What it is called, apart from its number."""
        ...

    @property
    def command(self) -> str:
        """For /bin/sh."""
        ...

    @property
    def folder(self) -> str:
        """Where it runs, absolute."""
        ...

    @property
    def health(self) -> Health:
        """How it is asked."""
        ...

    @property
    def grace(self) -> int:
        """Milliseconds from SIGTERM to SIGKILL."""
        ...


class Instance:
    """Keeps one process running until `stop`. Its record is kept up to date; `changed` is called after each change.
    Instances that share `turn` are started one after the other.

    `exits` counts how often it ended by itself since this object was made, `last_exit` says how and
    `last_words` what it had printed by then; `reason` says why it is not healthy.
    """

    def __init__(
        self,
        spec: Spec,
        record: InstanceRecord,
        *,
        environment: Environment,
        log: InstanceLog,
        changed: Callable[[], None],
        turn: asyncio.Lock,
    ) -> None:
        self.spec = spec
        self.record = record
        self.log = log
        self.exits = 0
        self.last_exit = ""
        self.last_words: list[str] = []
        self.reason = ""
        self._environment = environment
        self._changed = changed
        self._turn = turn
        self._backoff = Backoff()
        self._healthy_since: float | None = None
        self._was_healthy = False
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._now = asyncio.Event()

    @property
    def name(self) -> str:
        """`backend-r44.2`."""
        return f"{self.spec.name}.{self.record.index}"

    @property
    def healthy(self) -> bool:
        """Whether it may get traffic."""
        return self._healthy_since is not None

    @property
    def was_healthy(self) -> bool:
        """Whether the process that runs now has been healthy, if only once."""
        return self._was_healthy

    @property
    def state(self) -> InstanceState:
        """What `status` shows."""
        if self._task is None or self._task.done():
            return InstanceState.STOPPED
        if self._backoff.looping(time.monotonic(), self._healthy_since):
            return InstanceState.CRASH_LOOPING
        if self.healthy:
            return InstanceState.HEALTHY
        return InstanceState.UNHEALTHY if self._was_healthy else InstanceState.STARTING

    def observed(self) -> ObservedInstance:
        """One look at it."""
        pid = self._process.pid if self._process else 0
        return ObservedInstance(
            index=self.record.index,
            state=self.state,
            restarts=self.record.restarts,
            address=f"127.0.0.1:{self.record.port}" if self.record.port else "",
            pid=pid,
            memory=_memory(pid),
        )

    async def elsewhere(self) -> list[int]:
        """The ports that it listens on instead of its own, as far as the system tells; empty when it has its own, or
        needs none."""
        asked = self.record.pid and self.record.port
        ports = await asyncio.to_thread(ports_of, self.record.pid) if asked else set()
        return [] if self.record.port in ports else sorted(ports)

    def tail(self) -> list[str]:
        """The last lines that it printed, oldest first."""
        return self.log.tail(LOG_LINES)[0]

    def adopt(self) -> None:
        """Go on with the process that the record knows; if it is gone, that counts as one crash."""
        self._process = Process.adopt(self.record.pid, self.record.process)
        if self._process is not None and self.record.healthy:
            self._healthy_since = time.monotonic()
            self._was_healthy = True
        elif self._process is None:
            # What it started, or what the former agent started in its last instant, would keep the port.
            end_writers(self.log.path)
            self.record.restarts += bool(self.record.pid)
        self._task = asyncio.create_task(self._run())

    def recall(self) -> None:
        """Know the process of the record only to `stop` it: a former agent did not get that far."""
        self._process = Process.adopt(self.record.pid, self.record.process)

    async def ensure(self) -> None:
        """Somebody asks for it to run now: ends waiting, a process that lives without being healthy again, and one
        whose stop was not seen through."""
        self._backoff.reset()
        idle = self._task is None or self._task.done()
        if self._process is not None and (idle or (self._was_healthy and not self.healthy)):
            await self.stop()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        self._now.set()

    async def stop(self) -> None:
        """SIGTERM, `grace`, SIGKILL for the whole process group; returns when nothing of it lives."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.shield(asyncio.wait([self._task]))
        if self._process is not None:
            await self._process.stop(self.spec.grace / 1000)
        self._gone()

    async def leave(self) -> None:
        """Stop caring; the process lives on and can be adopted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            if self._process is None:
                environment = self._environment(self.record)
                if isinstance(environment, str):
                    self.reason = environment
                    self._changed()
                    return
                async with self._turn:  # starting many at once must not keep requests from being answered
                    self._spawn(environment)
                    await asyncio.sleep(0)
            begun = time.monotonic()
            if self._process is not None:
                checking = asyncio.create_task(self._check())
                try:
                    status = await asyncio.shield(self._process.exited)
                finally:
                    checking.cancel()
                self.last_exit = f"{_ended(status)} after {time.monotonic() - begun:.1f} s"
                self.last_words = self.log.tail(LOG_LINES)[0]
            delay = self._backoff.crashed(time.monotonic(), self._healthy_since)
            self.exits += 1
            self.record.restarts += 1
            self._gone()
            self._now.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), delay)

    def _spawn(self, environment: Mapping[str, str]) -> None:
        self._was_healthy = False
        output = -1
        try:
            output = self.log.open()
            self._process = Process.spawn(
                ["/bin/sh", "-c", replacing_the_shell(self.spec.command)],
                folder=self.spec.folder,
                env=environment,
                output=output,
            )
        except OSError as error:
            self.last_exit, self.last_words = f"cannot be run in {self.spec.folder}: {error.strerror}", []
            return
        finally:
            if output >= 0:
                os.close(output)
        self.record.pid, self.record.process = self._process.pid, self._process.identity
        self._changed()

    async def _check(self) -> None:
        health = self.spec.health
        found = self._environment(self.record)
        environment = {} if isinstance(found, str) else found
        failed = 0
        pause = FIRST_PAUSE
        longest = health.interval / 1000
        if health.kind in ASKED_AT_ITS_PORT:  # asking is cheap, and people wait
            longest = min(longest, PAUSE_WHILE_BOOTING)
        if health.kind is HealthKind.ALIVE and not self.healthy:
            await asyncio.sleep(longest)
        while True:
            reason = await probe(health, self.record.port, folder=self.spec.folder, env=environment)
            if not reason and not self.healthy and health.kind in ASKED_AT_ITS_PORT:
                reason = await asyncio.to_thread(stranger, self.record.port, self.record.pid)
            if not reason:
                failed = 0
                if not self.healthy:
                    self._healthy_since = time.monotonic()
                    self._was_healthy = self.record.healthy = True
                    self.reason = ""
                    self._changed()
            else:
                failed += 1
                self.reason = reason
                if self.healthy and failed >= health.failures:
                    self._healthy_since = None
                    self.record.healthy = False
                    self._changed()
            await asyncio.sleep(health.interval / 1000 if self._was_healthy else pause)
            pause = min(pause * 1.5, longest)

    def _gone(self) -> None:
        end_writers(self.log.path)  # what left the process group would keep the port
        self._process = None
        self._healthy_since = None
        self._was_healthy = False
        self.record.pid, self.record.process, self.record.healthy = 0, "", False
        self._changed()


def replacing_the_shell(command: str) -> str:
    """The command as it is given to `/bin/sh -c`: a simple one takes the shell's place, so that one process less
    runs and signals reach the program itself."""
    if re.search(r"[;&|\n(){}]|^\s*(exec|if|for|while|until|case|cd|command|eval)\b|^\s*[.:](\s|$)|^\s*\w+=", command):
        return command
    return f"exec {command}"


def _ended(status: int | None) -> str:
    if status is None:
        return "ended"
    if status == 0:
        return "exited with 0: it has to stay in the foreground"
    return f"exited with {status}" if status > 0 else f"was ended by signal {-status}"


def _memory(pid: int) -> int:
    """Resident bytes of a process and all that it started; 0 if unknown."""
    if not pid:
        return 0
    try:
        if LINUX:
            return _resident(pid)
        import psutil  # noqa: PLC0415 - not needed on Linux

        program = psutil.Process(pid)
        return sum(int(each.memory_info().rss) for each in (program, *program.children(recursive=True)))
    except Exception:
        return 0


def _resident(pid: int) -> int:
    process = Path("/proc") / str(pid)
    pages = int((process / "statm").read_text("ascii").split()[1])
    children = (process / "task" / str(pid) / "children").read_text("ascii").split()
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(int(child)) for child in children)
