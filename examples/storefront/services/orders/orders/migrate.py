"""Brings the database to what this release needs: `python -m orders.migrate`, and `--undo` to take that back.

`migrations/` holds pairs of files: `0002_notes.sql`, and `0002_notes.undo.sql`, which takes it back. They only expand:
the instances of the release before go on working with what is there afterwards. Each is done in one transaction with
the line that says so, hence whole or not at all.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orders.store import PATIENCE, address

MIGRATIONS = Path(__file__).parent.parent / "migrations"
LOCK = 4711  # an advisory lock: one migration at a time, whoever starts it
# Who waits long for a lock on a table keeps all others from it meanwhile: rather give up, and be run again.
SETTINGS = "-c lock_timeout=5s"


@dataclass(frozen=True)
class Migration:
    """One step: `do` and `undo` are SQL."""

    number: int
    name: str
    do: str
    undo: str


def read(folder: Path = MIGRATIONS) -> list[Migration]:
    """All migrations, the oldest first. Raises ValueError if one has no undo, or two have the same number."""
    found = []
    for file in sorted(folder.glob("[0-9]*.sql")):
        if file.name.endswith(".undo.sql"):
            continue
        undo = file.with_suffix(".undo.sql")
        if not undo.exists():
            raise ValueError(f"{file.name} cannot be taken back: {undo.name} is missing")
        number, _, name = file.stem.partition("_")
        found.append(Migration(int(number), name, file.read_text("utf-8"), undo.read_text("utf-8")))
    if len({migration.number for migration in found}) < len(found):
        raise ValueError("two migrations have the same number")
    return found


def migrate(connection: psycopg.Connection, release: str) -> None:
    """Do what has not been done, and remember that it was for this release."""
    done = _done(connection)
    for migration in read():
        if migration.number not in done:
            print(f"migration {migration.number}: {migration.name}", flush=True)
            with connection.transaction():
                connection.execute(migration.do)
                connection.execute(
                    "INSERT INTO migrations (number, release) VALUES (%s, %s)", (migration.number, release)
                )


def undo(connection: psycopg.Connection, release: str) -> None:
    """Take back what was done for this release, the youngest first, and nothing else."""
    done = _done(connection)
    for migration in reversed(read()):
        if done.get(migration.number) == release:
            print(f"taking back migration {migration.number}: {migration.name}", flush=True)
            with connection.transaction():
                connection.execute(migration.undo)
                connection.execute("DELETE FROM migrations WHERE number = %s", (migration.number,))


def _done(connection: psycopg.Connection) -> dict[int, str]:
    """Number -> the release it was done for."""
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # until the connection ends
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number integer PRIMARY KEY, release text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
    )
    return dict(connection.execute("SELECT number, release FROM migrations").fetchall())


def main() -> None:
    """Ends with 1 and one sentence if it fails."""
    work = {(): migrate, ("--undo",): undo}.get(tuple(sys.argv[1:]))
    if work is None:
        sys.exit("usage: python -m orders.migrate [--undo]")
    try:
        with psycopg.connect(address(), autocommit=True, connect_timeout=PATIENCE, options=SETTINGS) as connection:
            connection.add_notice_handler(lambda _: None)
            work(connection, os.environ.get("TIDEGATE_RELEASE", "unreleased"))
    except (psycopg.Error, RuntimeError, ValueError) as error:
        sys.exit(f"cannot migrate: {error}")


if __name__ == "__main__":
    main()
