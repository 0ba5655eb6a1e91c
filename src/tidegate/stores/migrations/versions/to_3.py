"""Version 3: a store has a name among all stores, so that two of them do not change one place by mistake."""

from __future__ import annotations

from uuid import uuid4

from alembic import op
from sqlalchemy import Column, String, column, table

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """From version 2."""
    op.add_column("tidegate_version", Column("store", String(32), nullable=False, server_default=""))
    row = table("tidegate_version", column("store", String))
    op.execute(row.update().values(store=uuid4().hex))
