"""What `recover`, `resume`, `undo` and `abandon` have in common: work on what hangs, tell what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import typer

from tidegate.app.inspect import EnvironmentStatus, status
from tidegate.app.workspace import Workspace
from tidegate.cli.documents import Document
from tidegate.cli.interruption import Interruption
from tidegate.cli.output import write
from tidegate.cli.session import check_environment, in_workspace
from tidegate.cli.views.console import err, out
from tidegate.cli.views.hanging import unsettled, way_lines
from tidegate.cli.views.outcome import show_trouble
from tidegate.cli.views.progress import ProgressView
from tidegate.cli.views.tables import environment_lines
from tidegate.errors import ClaimRefused, TidegateError, UsageError
from tidegate.execution.progress import Reporter

Names = tuple[str, ...]
Act = Callable[[Workspace, str, Reporter], Awaitable[Names]]
"""Settles changes of an environment: the functions of `tidegate.app.settling`."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How the end is told: in one line, from the components and the environment, or as a document."""

    line: Callable[[Names, EnvironmentStatus], str]
    document: Callable[[str, Names, EnvironmentStatus], Document]
    json: bool


def settle(
    ctx: typer.Context,
    environment: str,
    act: Act,
    telling: Telling,
    *,
    before: Callable[[Workspace], Awaitable[None]] | None = None,
) -> int:
    """One of the commands, from the look at its environment on; the exit status. `before` may ask, and refuse."""

    async def work(workspace: Workspace) -> int:
        await check_environment(workspace, environment)
        if before:
            await before(workspace)
        return await _settle_and_tell(workspace, environment, act, telling)

    return in_workspace(ctx, work, whole=False)


async def _settle_and_tell(workspace: Workspace, environment: str, act: Act, telling: Telling) -> int:
    """Let `act` settle changes of an environment; the exit status.

    Raises what it raises; but trouble with the change itself is shown here, with how far it came and the ways out.
    """
    try:
        names = await _interruptible(workspace, environment, act)
    except (UsageError, ClaimRefused):
        raise
    except TidegateError as error:
        if telling.json:
            raise
        show_trouble(err(), error)
        found = await look(workspace, environment)
        for claim in unsettled(found):
            for line in way_lines(found, claim):
                err().print(line, soft_wrap=True)
        return 1
    if names is None:
        raise TidegateError(
            "cannot go on: stopped",
            "The change stays in the middle.",
            hint=f"`tidegate status {environment}` shows it, `tidegate recover {environment}` puts it in order.",
        )
    found = await look(workspace, environment)
    if telling.json:
        write(telling.document(environment, names, found))
        return 0
    out().print(telling.line(names, found), soft_wrap=True)
    for each in environment_lines(found, brief=True):
        out().print(each, soft_wrap=True)
    return 0


async def look(workspace: Workspace, environment: str) -> EnvironmentStatus:
    """How the environment stands."""
    return (await status(workspace, [environment]))[0]


async def _interruptible(workspace: Workspace, environment: str, act: Act) -> Names | None:
    """None: somebody stopped it."""
    with (
        ProgressView(err()) as progress,
        Interruption(progress.say, progress.close, (environment,)) as interruption,
        interruption.scope,
    ):
        return await act(workspace, environment, progress.step)
    return None
