"""One run of a command: its folder, its workspace, its interruption."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Never, Self, TypeVar

import anyio
import typer

from tidegate.errors import UsageError

if TYPE_CHECKING:
    from tidegate.app.workspace import Workspace
    from tidegate.execution import Executor

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


@dataclass
class Interruption:
    """Ctrl-C and SIGTERM while it is entered: the first stops what goes forward, the second leaves at once.

    While there is no executor, `scope` is cancelled. `asked` says whether it happened. `going_on` gives what to say
    where the work goes on by itself without this command, which then leaves at once; "" where it does not.
    """

    say: Callable[[str], None]
    leave: Callable[[], None]
    environments: tuple[str, ...] = ()
    going_on: Callable[[], str] = str
    executors: list[Executor] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    asked: bool = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        names = " ".join(self.environments)
        if text := self.going_on():
            self._leave(text)
        if self.asked:
            self._leave(f"Left as it is. It is put back without you; `tidegate recover {names}` waits for that.")
        self.asked = True
        if not self.executors:
            self.scope.cancel()
            return
        self.say(f"Stopping: putting everything back … (Ctrl-C again to leave it to `tidegate recover {names}`)")
        for executor in self.executors:
            executor.stop()

    def _leave(self, text: str) -> Never:
        self.leave()
        self.say(text)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # undo is shielded from everything else, and that is what was asked to be left


def refuse_without_terminal(what: str) -> UsageError:
    """The error for a question that nobody is there to answer."""
    return UsageError(f"cannot {what} without being asked to", "There is no terminal to ask.", hint="Add --yes.")
