"""SQLite: how a store file is opened, locked and recognised. The rest of the package knows SQL only."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tidegate.errors import StoreError
from tidegate.stores.failures import store_error
from tidegate.stores.schema import bring_up, check_version
from tidegate.stores.tables import VERSION

BUSY = 10.0  # seconds to wait for another process that writes
WRITES = "tidegate_writes"  # execution option: this transaction takes the write lock when it begins


def open_sqlite(path: Path) -> Engine:
    """An engine over the file, which is created (readable by its owner only) if there is none.

    Transactions with the execution option `WRITES` are exclusive among writers. Raises `StoreError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            "cannot open the store",
            f"{path}: {error.strerror}",
            hint="Check that you may write there.",
            address=str(path),
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),  # as text, `?` and `%` of a folder's name would mean something
        connect_args={"check_same_thread": False, "timeout": BUSY},
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    try:
        _create(engine, path)
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise store_error(error, str(path), summary="cannot open the store") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _set_up(connection: Any, _record: object) -> None:
    """Write-ahead log, so that readers never wait. NORMAL does not wait for the disk at each commit: a program that
    dies loses nothing; power that fails may take the last commits, and with them the processes they spoke of."""
    connection.isolation_level = None  # transactions begin where `_begin` says
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock first: a transaction that reads, thinks and writes must not find at the end that another
    one was quicker."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create(engine: Engine, path: Path) -> None:
    _use_write_ahead_log(path)
    with engine.connect() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version == VERSION:
        return
    check_version(version, str(path))
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version != VERSION:  # still: another process may have been quicker
            bring_up(connection, version, str(path))
            connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")  # what older versions of Tidegate look at


def _use_write_ahead_log(path: Path) -> None:
    """The switch needs the file for itself and does not always wait for it: of processes that open a new store at the
    same moment, some are told that it is locked."""
    deadline = time.monotonic() + BUSY
    while True:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
        finally:
            connection.close()
