"""The catalogue: an SQLite file, made from catalogue.json when the release is built, only ever read afterwards."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

COLUMNS = "id, name, kind, price_cents, description"


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. `price_cents` is in euro cents, `kind` chooses the picture."""

    id: str
    name: str
    kind: str
    price_cents: int
    description: str


class Catalogue:
    """Read access to a catalogue file."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError if there is no catalogue at `path`."""
        if not path.is_file():
            raise FileNotFoundError(
                f"no catalogue at {path}: make it with `python -m backend.catalogue catalogue.json {path.name}`"
            )
        # immutable: no lock and no journal file, so the folder of the release may be read-only.
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )

    def search(self, words: str) -> list[Product]:
        """Products whose name or description contains `words`, by name; all of them for an empty text."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM products"
            " WHERE instr(lower(name), lower(:words)) OR instr(lower(description), lower(:words)) ORDER BY name",
            {"words": words},
        )
        return [Product(*row) for row in rows]

    def product(self, product_id: str) -> Product | None:
        """One product, or None."""
        row = self._connection.execute(f"SELECT {COLUMNS} FROM products WHERE id = ?", (product_id,)).fetchone()
        return Product(*row) if row else None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def build(source: Path, destination: Path) -> int:
    """Make the SQLite file from the JSON list and return how many products it holds. Replaces an older file."""
    products = [Product(**entry) for entry in json.loads(source.read_text(encoding="utf-8"))]
    destination.unlink(missing_ok=True)
    connection = sqlite3.connect(destination)
    try:
        with connection:
            connection.execute(
                "CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL,"
                " price_cents INTEGER NOT NULL CHECK (price_cents > 0), description TEXT NOT NULL) STRICT"
            )
            connection.executemany(
                f"INSERT INTO products ({COLUMNS}) VALUES (?, ?, ?, ?, ?)",
                [(p.id, p.name, p.kind, p.price_cents, p.description) for p in products],
            )
    finally:
        connection.close()
    return len(products)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m backend.catalogue catalogue.json catalogue.sqlite")
    print(f"{build(Path(sys.argv[1]), Path(sys.argv[2]))} products")
