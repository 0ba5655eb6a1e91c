"""One row per measurement: what, figure, ratio against a peer or floor of the same run, and the bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

HEADINGS = ("measurement", "figure", "against", "promised", "kept")


@dataclass(frozen=True)
class Row:
    """`bound` is the largest figure that the product promises, None where there is no promise.

    `figure` None: it could not be taken, and `against` says why.
    """

    what: str
    figure: float | None
    unit: str
    against: str = ""
    bound: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none, or no figure."""
        return None if self.bound is None or self.figure is None else self.figure <= self.bound

    @property
    def cells(self) -> tuple[str, ...]:
        """The row in words, as in `HEADINGS`."""
        kept = {True: "yes", False: "NO", None: ""}[self.kept]
        bound = "" if self.bound is None else f"≤ {self.bound:g} {self.unit}".rstrip()
        figure = "–" if self.figure is None else f"{self.figure:.3g} {self.unit}".rstrip()
        return (self.what, figure, self.against, bound, kept)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows; a promise that is not kept is marked, and nothing fails: figures are read by people."""
    table = Table(title=title, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in {"figure", "promised"} else "left")
    for row in rows:
        table.add_row(*row.cells)
    Console(width=130).print(table)


def as_markdown(rows: Sequence[Row]) -> str:
    """The same table for a document, with a line end."""
    lines = [HEADINGS, ("---", "---:", "---", "---:", "---"), *(row.cells for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def renewed(document: str, names: str, heading: str, rows: Sequence[Row]) -> str:
    """A document with these rows in the place of older ones of the same measurements, new ones at its end; before the
    table it says where and when `names` were measured."""
    lines = document.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    said = f"`python -m bench {names} --write`: "
    before = [line for line in lines[:start] if line and not line.startswith(said)]
    known = {_measurement(line): line for line in lines[start:]}
    known |= {_measurement(line): line for line in as_markdown(rows).splitlines()}
    return "\n\n".join([*before, f"{said}{heading}.", "\n".join(known.values())]) + "\n"


def _measurement(line: str) -> str:
    return line.split("|")[1].strip()
