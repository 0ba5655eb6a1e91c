"""PostgreSQL: how a server is reached, and how its tables come to be. The rest of the package knows SQL only."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tidegate.errors import StoreError
from tidegate.stores.failures import hint_of, reason_of
from tidegate.stores.schema import bring_up
from tidegate.stores.tables import VERSION, schema_version

POSTGRESQL_URL = "postgresql://"
CONNECT = 10  # seconds to wait for the server
LOCKED = 10_000  # milliseconds to wait for a lock that another process holds
IDLE = 5_000  # milliseconds; who stands still in a transaction loses it, before others give up waiting
MIGRATING = 0x7469_6465  # the advisory lock of those who make or migrate the tables


def open_postgresql(location: str) -> Engine:
    """An engine over a database of a server; its tables are made if it is empty. Raises `StoreError`."""
    try:
        url = make_url(location).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise StoreError(
            "cannot open the store",
            "Its URL cannot be read.",  # which may hold a password
            hint=f"Write {POSTGRESQL_URL}USER@HOST:PORT/DATABASE; quote special characters of a password as %XX.",
        ) from None
    where = server_in_words(url)
    try:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": CONNECT, "application_name": "tidegate", **url.query},
            isolation_level="READ COMMITTED",  # rows are locked before they are judged
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,  # a server that was restarted in between is no error
        )
    except ImportError as error:
        raise StoreError(
            "cannot open the store",
            "The driver for PostgreSQL is not installed.",
            hint="Install it: pip install tidegate[postgresql]",
            address=where,
        ) from error
    event.listen(engine, "connect", _set_up)
    try:
        _create(engine, where)
    except SQLAlchemyError as error:
        engine.dispose()
        reason = _without(url, reason_of(error))
        raise StoreError("cannot open the store", reason, hint=hint_of(error, where), address=where) from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def server_in_words(url: URL) -> str:
    """The URL without user, password and options."""
    host = url.host or url.query.get("host", "")
    port = url.port or url.query.get("port", "")
    return f"{POSTGRESQL_URL}{host}{f':{port}' if port else ''}/{url.database or ''}"


def _set_up(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {LOCKED}; SET idle_in_transaction_session_timeout = {IDLE}")
    connection.commit()


def _create(engine: Engine, where: str) -> None:
    with engine.begin() as connection:
        if _version(connection, where) == VERSION:
            return
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATING)))
        version = _version(connection, where)
        if version != VERSION:  # still: another process may have been quicker
            bring_up(connection, version, where)


def _version(connection: Connection, where: str) -> int:
    if not inspect(connection).has_table(schema_version.name):
        return 0
    said = connection.execute(select(schema_version.c.version_num)).scalars().all()
    if len(said) != 1 or not said[0].isdecimal():
        raise StoreError(
            "cannot open the store",
            f"It does not say of which version its tables are: {schema_version.name} should have one row, a number.",
            hint="Somebody changed it by hand. Restore it, or put back the number.",
            address=where,
        )
    return int(said[0])


def _without(url: URL, text: str) -> str:
    """The text of a driver that may repeat what it was given."""
    for password in (url.password, url.query.get("password")):
        if isinstance(password, str) and password:
            text = text.replace(password, "***").replace(quote(password, safe=""), "***")
    return text
