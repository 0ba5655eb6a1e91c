"""How a run of a task ended."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.errors import error_text
from tidegate.cli.views.outcome import show_trouble
from tidegate.errors import TidegateError


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended. `status` is its exit status, None if it did not end or nobody saw it; `trouble` why its output
    could not be shown."""

    environment: str
    task: str
    name: str
    status: int | None
    seconds: float
    output: tuple[str, ...] = ()
    failure: TidegateError | None = None
    trouble: TidegateError | None = None


def show_run(console: Console, done: Ran, *, printed: bool) -> None:
    """One line, or why it failed; with the last lines it printed only where not all were `printed` already."""
    if done.trouble:
        console.print(error_text(done.trouble), soft_wrap=True)
    if done.failure is None:
        status = "" if done.status is None else f" with {done.status}"
        console.print(f"{done.environment}: {done.task} ended{status} after {done.seconds:.1f} s.", soft_wrap=True)
        return
    if printed:
        console.print(error_text(done.failure), soft_wrap=True)
    else:
        show_trouble(console, done.failure)
    logs = f"tidegate logs -e {done.environment} {done.name}"
    ended = "did not get through" if done.status is None else f"ended with {done.status}"
    console.print(
        Text(f"{done.environment}: {done.task} {ended}. Its output: {logs}", style="bold red"), soft_wrap=True
    )
