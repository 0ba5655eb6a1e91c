"""Version 2: where an environment lives, and events by their kind."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Text

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """From version 1. What claims say besides, they say in their JSON."""
    op.add_column("environments", Column("place", Text, nullable=False, server_default=""))
    op.create_index("events_of_kind", "events", ["environment", "kind", "seq"])
