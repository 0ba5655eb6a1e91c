"""The version of a store's tables: whether this Tidegate can use them, makes them, or has to bring them up to date."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection, insert, inspect
from sqlalchemy.exc import SQLAlchemyError

from tidegate.errors import StoreError
from tidegate.stores.failures import hint_of, reason_of
from tidegate.stores.migrations import migrate
from tidegate.stores.tables import VERSION, metadata, schema_version


def check_version(found: int, where: str) -> None:
    """Raises `StoreError` for tables that are newer than this Tidegate, or never were."""
    if not 0 <= found <= VERSION:
        raise StoreError(
            "cannot open the store",
            f"It has tables of version {found}; this Tidegate knows version {VERSION}.",
            hint="Use the version of Tidegate that made it" + (", or a newer one." if found > VERSION else "."),
            address=where,
        )


def bring_up(connection: Connection, found: int, where: str) -> None:
    """Make the tables (`found` 0: there are none yet) or migrate them, inside a transaction that excludes others.

    Raises `StoreError`; the caller's transaction then leaves everything as it was.
    """
    check_version(found, where)
    if found == 0:
        if inspect(connection).get_table_names():
            raise StoreError(
                "cannot open the store",
                "This is a database of something else.",
                hint="Name another one.",
                address=where,
            )
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(schema_version).values(version_num=str(VERSION), store=uuid4().hex))
    elif found < VERSION:
        try:
            migrate(connection, found)
        except SQLAlchemyError as error:
            raise StoreError(
                "cannot bring the store up to date",
                f"Its tables are of version {found}, and making version {VERSION} of them failed: {reason_of(error)}. "
                f"It is as it was, and the Tidegate that made it can use it.",
                hint=hint_of(error, where),
                address=where,
            ) from error
