"""What a run prints, while it runs and to its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio

from tidegate.app.tasks import output
from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError
from tidegate.model.address import RunAddress


class TaskOutput:
    """Gives each line of a run to `show`, once. Set `begun` when the run begins."""

    def __init__(self, workspace: Workspace, run: RunAddress, show: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._run = run
        self._show = show
        self._shown = 0
        self.begun = anyio.Event()

    async def follow(self) -> None:
        """Lines as they come. A place that cannot be asked now can be in the end: see `rest`."""
        await self.begun.wait()
        with suppress(TidegateError):
            async for line in output(self._workspace, self._run, follow=True):
                self._shown += 1
                self._show(line)

    async def rest(self) -> None:
        """Lines that were not shown yet. Raises what looking raises."""
        place = 0
        async for line in output(self._workspace, self._run):
            place += 1
            if place > self._shown:
                self._shown = place
                self._show(line)
