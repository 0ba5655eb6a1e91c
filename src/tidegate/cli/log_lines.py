"""Lines of logs, from whatever prints them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio

from tidegate.app.tasks import output
from tidegate.app.workspace import Workspace
from tidegate.cli.log_choice import Choice
from tidegate.errors import TidegateError
from tidegate.model.address import RunAddress
from tidegate.ports.target import FollowsLogs, LogLine


async def lines_of(
    workspace: Workspace, environment: str, choice: Choice, show: Callable[[LogLine], None], *, tail: int, follow: bool
) -> None:
    """Show the last `tail` lines of each, oldest first; with `follow` then new ones as they come, a run to its end.

    Raises `TidegateError` if the target keeps none.
    """
    target = workspace.at(environment).target

    async def instances() -> None:
        if not isinstance(target, FollowsLogs):
            raise TidegateError("cannot show logs", "This target does not keep any.")
        async for line in target.logs(environment, choice.groups, resources=choice.resources, tail=tail, follow=follow):
            show(line)

    async def run(address: RunAddress) -> None:
        lines = output(workspace, address, follow=follow)
        if follow:
            async for text in lines:
                show(LogLine(address.component, address.name, text))
            return
        kept = deque([text async for text in lines], maxlen=tail)
        for text in kept:
            show(LogLine(address.component, address.name, text))

    if not follow:
        if choice.groups or choice.resources:
            await instances()
        for address in choice.runs:
            await run(address)
        return
    async with anyio.create_task_group() as group:
        if choice.groups or choice.resources:
            group.start_soon(instances)
        for address in choice.runs:
            group.start_soon(run, address)
