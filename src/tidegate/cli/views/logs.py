"""Lines of logs, each with the name of its instance in the colour of its component."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.console import clean
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.ports.target import LogLine

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")


class LogView:
    """Shows lines of these groups and runs as they come."""

    def __init__(self, console: Console, sources: Sequence[GroupAddress | RunAddress]) -> None:
        self._console = console
        components = sorted({each.component for each in sources})
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(components)}
        self._width = max((len(each.name) for each in sources), default=0) + 2  # ".1"

    def show(self, line: LogLine) -> None:
        """One line."""
        name = line.instance.rpartition("/")[2]
        text = Text.assemble(
            (f"{name:<{self._width}} ", self._colours.get(line.component, "")), clean(line.text).replace("\n", " ")
        )
        self._console.print(text, soft_wrap=True)
