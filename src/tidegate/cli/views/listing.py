"""Records and fields that fit any width: nothing is cut off or folded that people copy or click."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = 2  # blanks between columns
LEAST = 20  # columns that a text of many words needs to be read


@dataclass(frozen=True, slots=True)
class Listing:
    """Records as a table where its lines fit, else one below the other; no line has blanks at its end.

    Only the last column of a table is folded, and only if `words` says that it holds sentences.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    words: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in self.rows]
        widths = [
            max(len(name), *(line.cell_len for row in rows for line in row[place].split(allow_blank=True)), 0)
            for place, name in enumerate(self.columns)
        ]
        room = options.max_width - sum(widths[:-1]) - GAP * (len(widths) - 1)
        if room < (min(LEAST, widths[-1]) if self.words else widths[-1]):
            yield from self._records(rows)
            return
        header = [Text(name, style="dim") for name in self.columns]
        for row in (header, *rows):
            *whole, last = row
            cells = [*(list(cell.split(allow_blank=True)) for cell in whole), list(last.wrap(console, room))]
            yield from _table_lines(cells, widths)

    def _records(self, rows: Sequence[Sequence[Text]]) -> Iterator[Text]:
        label = max(len(name) for name in self.columns[1:])
        for first, *others in rows:
            yield Text.assemble((first.plain, "bold"))
            for name, cell in zip(self.columns[1:], others, strict=True):
                for place, line in enumerate(cell.split(allow_blank=True) if cell.plain not in {"", "-"} else ()):
                    yield Text.assemble("  ", (f"{'' if place else name:<{label}}", "dim"), " " * GAP, line)


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and what there is to say to each; values go on below their own beginning."""

    rows: Sequence[tuple[str, Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = max((len(name) for name, _ in self.rows), default=0)
        room = max(LEAST, options.max_width - label - 2 * GAP)
        for name, value in self.rows:
            lines = value.wrap(console, room, overflow=value.overflow or "fold", no_wrap=value.no_wrap)
            for place, line in enumerate(lines):
                line.rstrip()
                yield Text.assemble("  ", (f"{'' if place else name:<{label}}", "dim"), " " * GAP, line)


def _table_lines(cells: Sequence[Sequence[Text]], widths: Sequence[int]) -> Iterator[Text]:
    for place in range(max(len(lines) for lines in cells)):
        line = Text()
        for width, lines in zip(widths, cells, strict=True):
            part = lines[place] if place < len(lines) else Text()
            line.append_text(part)
            line.append(" " * (width - part.cell_len + GAP))
        line.rstrip()
        yield line
