"""One run of a command: its folder and its workspace."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from tidegate.errors import UsageError

if TYPE_CHECKING:
    from tidegate.app.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line says before any command: `-C`, and the command behind `--` (None without one)."""

    folder: Path
    behind_dashes: tuple[str, ...] | None = None


def invocation(context: typer.Context) -> Invocation:
    """The invocation that a command belongs to."""
    found = context.find_root().obj
    assert isinstance(found, Invocation)
    return found


def in_workspace(context: typer.Context, work: Callable[[Workspace], Awaitable[T]], *, whole: bool = True) -> T:
    """Open the workspace of the folder, do the work in it, close it. Raises what either raises.

    `whole`: it needs every manifest. Without, a mistake in one of a component is no reason not to work.
    """
    import anyio

    async def run() -> T:
        from tidegate.composition import open_workspace

        async with open_workspace(invocation(context).folder, whole=whole) as workspace:
            return await work(workspace)

    return anyio.run(run)


async def check_environment(workspace: Workspace, name: str) -> None:
    """Raises `UsageError` for an environment that neither tidegate.yaml nor its store knows."""
    if name not in {record.name for record in await workspace.at(name).store.environments()}:
        workspace.environment(name)


async def touched_environments(workspace: Workspace) -> set[str]:
    """All environments that were ever changed, wherever they are kept."""
    return {
        record.name
        for one in workspace.everywhere()
        for record in await one.store.environments()
        if workspace.at(record.name) is one
    }


def confirm(question: str) -> bool:
    """Ask on the terminal; the answer is no by default. Ctrl-C there stops the command at once."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # the loop would wait for the answer first
    try:
        return typer.confirm(question, default=False, err=True)
    finally:
        signal.signal(signal.SIGINT, handler)


def refuse_without_terminal(what: str) -> UsageError:
    """The error for a question that nobody is there to answer."""
    return UsageError(f"cannot {what} without being asked to", "There is no terminal to ask.", hint="Add --yes.")
