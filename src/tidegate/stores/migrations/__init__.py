"""How a store of an older version becomes one of this version. Each revision is named by the version that it leads to.

They go one way, and are never changed once a release had them.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from tidegate.stores.tables import schema_version


def migrate(connection: Connection, since: int, to: str = "head") -> None:
    """Bring the tables from version `since` (0: there are none) up to date, inside the transaction of the caller.

    Raises what SQLAlchemy raises; the transaction is then to be rolled back.
    """
    # Imported here: it takes longer than opening a store that is up to date.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "tidegate.stores:migrations")
    config.attributes["connection"] = connection
    if since and not inspect(connection).has_table(schema_version.name):
        command.stamp(config, str(since))  # version 1 said so elsewhere
    command.upgrade(config, to)
