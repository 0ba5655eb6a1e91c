"""One row per measurement: what, figure, ratio against a peer or floor of the same run, and the bound."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """`bound` is the largest figure that the product promises, None where there is no promise."""

    what: str
    figure: float
    unit: str
    against: str = ""
    bound: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        return None if self.bound is None else self.figure <= self.bound


def show(title: str, rows: list[Row]) -> None:
    """Print the rows; a promise that is not kept is marked, and nothing fails: figures are read by people."""
    table = Table(title=title, title_justify="left")
    for heading in ("measurement", "figure", "against", "promised", "kept"):
        table.add_column(heading, justify="right" if heading in {"figure", "promised"} else "left")
    for row in rows:
        kept = {True: "yes", False: "NO", None: ""}[row.kept]
        bound = "" if row.bound is None else f"≤ {row.bound:g} {row.unit}"
        table.add_row(row.what, f"{row.figure:.3g} {row.unit}", row.against, bound, kept)
    Console(width=130).print(table)
