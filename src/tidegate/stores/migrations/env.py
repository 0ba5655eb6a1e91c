"""What Alembic runs for every command: the migrations, on the connection that `migrate` handed over."""

from __future__ import annotations

from alembic import context

from tidegate.stores.tables import metadata, schema_version

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=schema_version.name,
)
context.run_migrations()
