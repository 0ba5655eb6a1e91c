"""Lines of logs, each with the name of its instance in the colour of its component."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.console import clean
from tidegate.ports.target import LogLine

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")


class LogView:
    """Shows lines of these components and resources as they come; `names` are those of groups and runs."""

    def __init__(self, console: Console, components: Sequence[str], names: Sequence[str]) -> None:
        self._console = console
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(sorted({*components}))}
        self._width = max(map(len, names), default=0) + 2  # ".1"

    def show(self, line: LogLine) -> None:
        """One line."""
        name = line.instance.rpartition("/")[2]
        text = Text.assemble(
            (f"{name:<{self._width}} ", self._colours.get(line.component, "")), clean(line.text).replace("\n", " ")
        )
        self._console.print(text, soft_wrap=True)
