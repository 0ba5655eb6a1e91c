"""The executor's side of being noticed: a connection to the agent that is held open while it changes something."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio

from tidegate.drivers.local.client import AgentClient, AgentLost, AgentSilent
from tidegate.drivers.local.protocol import Json
from tidegate.errors import TidegateError

PATIENCE = 1.0
"""Seconds for the agent to take the connection when it runs already, and to hear that this is over."""
PAUSE = 0.2


@asynccontextmanager
async def attending(agent: AgentClient, environment: str, recovery: Sequence[str]) -> AsyncIterator[None]:
    """While inside, the agent starts `recovery` if this process ends without leaving. Never raises.

    An agent that does not run is started, beside what is done inside. One that dies is not started again by this:
    that does the next step, and then this connects again.
    """
    execution = Execution(agent, {"environment": environment, "recovery": list(recovery), "pid": os.getpid()})
    runs = agent.running()
    task = asyncio.create_task(execution.hold())
    try:
        if runs:
            with anyio.move_on_after(PATIENCE):
                await execution.held.wait()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await execution.leave()
            task.cancel()
            await asyncio.wait([task])


class Execution:
    """One executor, as the agent knows it. `held` is set while the agent has been told."""

    def __init__(self, agent: AgentClient, said: Json) -> None:
        self.held = asyncio.Event()
        self._agent = agent
        self._name = secrets.token_hex(8)
        self._said = {**said, "name": self._name}

    async def hold(self) -> None:
        """Hold a connection, and another one when it breaks; runs until it is cancelled."""
        with suppress(TidegateError):
            await self._agent.call("GET", "/agent", patience=PATIENCE)
        while True:
            with suppress(TidegateError, AgentLost):
                await self._agent.ask("/executions", self._said, asked=self.held.set)
            self.held.clear()
            await asyncio.sleep(PAUSE)

    async def leave(self) -> None:
        """Tell the agent that this ends as it should."""
        with suppress(TidegateError, AgentLost, AgentSilent):
            await self._agent.ask(f"/executions/{self._name}/finished", {}, patience=PATIENCE)
