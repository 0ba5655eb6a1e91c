"""Progress: one live line per component in a terminal, plain lines elsewhere. On standard error."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, assert_never

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidegate.app.explain import in_words
from tidegate.app.release import BuildMoment, BuildProgress
from tidegate.cli.views.console import clean
from tidegate.cli.views.steps import doing, rows_of
from tidegate.execution.progress import Moment, Progress, Stage
from tidegate.model.step import Prepare, Provide, Replace, Revert, Route, Run, Start

_REFRESH = 8  # per second
_LONGEST = 60  # characters of a build's line


@dataclass
class _Row:
    doing: str
    since: float
    note: str = ""
    style: str = ""
    done: bool = False


@dataclass
class Switches:
    """When the traffic of one change was switched, and when it was switched back; seconds of a monotonic clock."""

    there: float | None = None
    back: float | None = None

    @property
    def seconds(self) -> float | None:
        """For how long users met the new releases before they were put back; None if they never did."""
        return None if self.there is None or self.back is None else self.back - self.there


@dataclass
class Taken:
    """A step that was begun, forward or in undo, and what is known of it: begun, done or failed."""

    text: str
    moment: Moment = Moment.BEGUN


@dataclass
class ProgressView:
    """Takes what builds and steps report, and shows it while it is entered.

    `switches` and `taken` keep, by environment and number of the change, what the screen of a failure has to tell.
    `live`: lines that move, where the console is a terminal.
    """

    console: Console
    switches: dict[tuple[str, int], Switches] = field(default_factory=dict)
    taken: dict[tuple[str, int], dict[tuple[bool, str], Taken]] = field(default_factory=dict)
    live: bool = True
    _rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    _undoing: set[tuple[str, int]] = field(default_factory=set)
    _provides: dict[tuple[str, str], int] = field(default_factory=dict)  # which of the changes that need it tells of it
    _live: Live | None = None

    def __enter__(self) -> Self:
        self._rows.clear()
        self._provides.clear()
        if self.live and self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self.render, console=self.console, refresh_per_second=_REFRESH, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the live lines away."""
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(Text(clean(text), style=style), soft_wrap=True)

    def build(self, progress: BuildProgress) -> None:
        """Show what happened to a build."""
        row = self._row("", progress.component)
        match progress.moment:
            case BuildMoment.BEGUN:
                self._begin(row, "", progress.component, "building")
            case BuildMoment.LINE:
                row.note = clean(progress.text).strip()[:_LONGEST]
            case BuildMoment.DONE:
                self._end(row, "", progress.component, f"built in {_since(row)}")
            case BuildMoment.FAILED:
                self._end(row, "", progress.component, "not built", "red")
            case _:
                assert_never(progress.moment)

    def step(self, progress: Progress) -> None:
        """Show what happened to a step or to a change."""
        change = progress.environment, progress.change.number
        if progress.step is None:
            if progress.moment is Moment.STAGE and progress.stage is Stage.UNDOING:
                self._undoing.add(change)
                self.say(f"{progress.environment}: putting {', '.join(progress.change.components)} back …", "yellow")
            return
        step = progress.step.step
        back = change in self._undoing
        if isinstance(step, Route) and progress.moment is Moment.DONE:
            self._switched(change, back=back)
        steps = self.taken.setdefault(change, {})
        steps.setdefault((back, progress.step.id), Taken(in_words(step))).moment = progress.moment
        if isinstance(step, Provide) and not back and progress.moment is not Moment.FAILED:
            number = progress.change.number
            if self._provides.setdefault((progress.environment, step.resource), number) != number:
                return
        for component in rows_of(step):
            row = self._row(progress.environment, component)
            match progress.moment:
                case Moment.BEGUN:
                    quiet = isinstance(step, Prepare)
                    self._begin(row, progress.environment, component, doing(step, back=back), quiet=quiet)
                case Moment.DONE if isinstance(step, Start | Replace):
                    url = next(iter(progress.outcome.urls.values()), "") if progress.outcome else ""
                    text = f"{step.group.name} is healthy after {_since(row)}" + (f", to look at: {url}" if url else "")
                    self._end(row, progress.environment, component, text)
                case Moment.DONE if isinstance(step, Provide):
                    self._end(row, progress.environment, component, f"is healthy after {_since(row)}")
                case Moment.DONE if isinstance(step, Run | Revert):
                    taken = "taken back" if isinstance(step, Revert) else "done"
                    self._end(row, progress.environment, component, f"{step.run.name} {taken} after {_since(row)}")
                case Moment.DONE:
                    self._end(row, progress.environment, component, doing(step, back=back), quiet=True)
                case Moment.FAILED:
                    why = progress.error.summary if progress.error else "failed"
                    self._end(row, progress.environment, component, why, "red")
                case _:
                    pass

    def _switched(self, change: tuple[str, int], *, back: bool) -> None:
        switches = self.switches.setdefault(change, Switches())
        if back:
            switches.back = time.monotonic()
        else:
            switches.there = switches.there or time.monotonic()  # the first wave

    def _row(self, environment: str, component: str) -> _Row:
        return self._rows.setdefault((environment, component), _Row("", time.monotonic()))

    def _begin(self, row: _Row, environment: str, component: str, doing: str, *, quiet: bool = False) -> None:
        row.doing, row.since, row.note, row.style, row.done = doing, time.monotonic(), "", "", False
        if not self._live and not quiet:
            self.say(f"{_name(environment, component)}  {doing} …")

    def _end(
        self, row: _Row, environment: str, component: str, doing: str, style: str = "green", *, quiet: bool = False
    ) -> None:
        row.doing, row.note, row.style, row.done = doing, "", style, True
        if not self._live and not quiet:
            self.say(f"{_name(environment, component)}  {doing}")

    def render(self) -> Table:
        """The live lines as they are now."""
        grid = Table.grid(padding=(0, 2))
        for (environment, component), row in sorted(self._rows.items()):
            seconds = "" if row.done else f"{time.monotonic() - row.since:.0f} s"
            grid.add_row(
                Text(_name(environment, component), style="bold"),
                Text(row.doing, style=row.style),
                Text(seconds, style="dim"),
                Text(row.note, style="dim"),
            )
        return grid


def _name(environment: str, component: str) -> str:
    return f"{environment} {component}" if environment else component


def _since(row: _Row) -> str:
    return f"{time.monotonic() - row.since:.1f} s"
