"""Executors that change an environment, and the recovery that is started when one of them vanishes.

The agent knows no plans: it starts the command that the executor named, and looks how that ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.drivers.local.agent.process import Process
from tidegate.drivers.local.folders import Folders
from tidegate.drivers.local.logs import InstanceLog
from tidegate.drivers.local.protocol import Json

PAUSE = 0.2
"""Seconds before somebody who vanished is believed to be gone, and whatever ended him has ended."""
ATTEMPTS = 3
"""So often in a row a recovery that vanishes itself is started."""


@dataclass
class _Execution:
    name: str
    environment: str
    recovery: Sequence[str]
    pid: int
    over: asyncio.Event


class Attendance:
    """Who executes what now. There is never more than one recovery of an environment that was started here."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._executions: dict[str, _Execution] = {}
        self._recoveries: dict[str, asyncio.Task[None]] = {}
        self._recovering: dict[str, int] = {}  # environment -> pid
        self._finished: set[str] = set()
        self._again: dict[str, _Execution] = {}
        self._ending = False

    async def attend(self, name: str, said: Json) -> Json:
        """Return when the execution is over. Being cancelled means that its connection broke: then it vanished."""
        if name in self._finished:
            self._finished.remove(name)
            return {}
        execution = _Execution(name, said["environment"], tuple(said["recovery"]), said["pid"], asyncio.Event())
        self._executions[name] = execution
        try:
            await execution.over.wait()
        except asyncio.CancelledError:
            if not execution.over.is_set():
                self._vanished(execution)
            raise
        finally:
            del self._executions[name]
        return {}

    def finish(self, name: str) -> None:
        """It ends as it should, also where it is heard of after this, or its connection broke just before."""
        if name in self._executions:
            self._executions[name].over.set()
        else:
            self._finished.add(name)

    async def end(self) -> None:
        """The agent ends: nobody is waited for any more, no recovery is started; one that runs goes on."""
        self._ending = True
        for execution in self._executions.values():
            execution.over.set()
        for task in self._recoveries.values():
            task.cancel()
        if self._recoveries:
            await asyncio.wait(self._recoveries.values())

    def _vanished(self, execution: _Execution) -> None:
        environment = execution.environment
        if self._ending or self._recovering.get(environment) == execution.pid:
            return  # the recovery itself is watched as a process
        if environment in self._recoveries:
            self._again[environment] = execution
            return
        task = asyncio.create_task(self._recover(environment, execution))
        self._recoveries[environment] = task
        task.add_done_callback(lambda _: self._recoveries.pop(environment, None))

    async def _recover(self, environment: str, execution: _Execution) -> None:
        vanished: _Execution | None = execution
        while vanished is not None:
            await asyncio.sleep(PAUSE)
            left = 0 if vanished.name in self._finished else ATTEMPTS
            while left and not await self._ends_by_itself(environment, vanished.recovery):
                left -= 1
            self._finished.discard(vanished.name)
            vanished = self._again.pop(environment, None)

    async def _ends_by_itself(self, environment: str, command: Sequence[str]) -> bool:
        """Run it once; False if it vanished, as the executor did before."""
        try:
            output = InstanceLog(self._folders.recovery_log(environment)).open()
            try:
                process = Process.spawn(command, folder="/", env=self._surroundings(), output=output)
            finally:
                os.close(output)
        except OSError as error:
            print(f"cannot start the recovery of {environment}: {error}", flush=True)  # noqa: T201 - the agent's log
            return True
        self._recovering[environment] = process.pid
        try:
            status = await asyncio.shield(process.exited)
        finally:
            del self._recovering[environment]
        return status is not None and status >= 0

    def _surroundings(self) -> Mapping[str, str]:
        """The agent's own variables; the folder of its socket is told, since it may have been named by one that the
        agent was not given."""
        return {**os.environ, "TIDEGATE_RUNTIME_DIR": str(self._folders.runtime.parent)}
