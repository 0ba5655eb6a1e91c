"""Version 1: the eight tables as Tidegate 0.1 made them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, ForeignKey, Integer, LargeBinary, Text

revision = "1"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "environments",
        Column("name", Text, primary_key=True),
        Column("head", Integer, nullable=False),
        Column("next_number", Integer, nullable=False),
        Column("next_epoch", Integer, nullable=False),
        Column("claims", JSON, nullable=False),
    )
    op.create_table(
        "blobs",
        Column("digest", Text, primary_key=True),
        Column("bytes", LargeBinary, nullable=False),
    )
    op.create_table(
        "releases",
        Column("digest", Text, primary_key=True),
        Column("component", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("commit", Text, nullable=False),
        Column("dirty", Boolean, nullable=False),
        Column("by", Text, nullable=False),
        Column("at", Double, nullable=False),
        Column("body", JSON, nullable=False),
    )
    op.create_index("releases_of_component", "releases", ["component", "at"])
    op.create_table(
        "artifacts",
        Column("release", Text, primary_key=True),
        Column("format", Text, primary_key=True),
        Column("platform", Text, primary_key=True),
        Column("digest", Text, nullable=False),
        Column("location", Text, nullable=False),
    )
    op.create_table(
        "revisions",
        Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("parent", Integer, nullable=False),
        Column("pins", Text, ForeignKey("blobs.digest"), nullable=False),
        Column("plan", Text, nullable=False),
        Column("by", Text, nullable=False),
        Column("why", Text, nullable=False),
        Column("at", Double, nullable=False),
    )
    op.create_table(
        "changes",
        Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("component", Text, primary_key=True),
        Column("old", JSON(none_as_null=True)),
        Column("new", JSON(none_as_null=True)),
    )
    op.create_table(
        "plans",
        Column("digest", Text, ForeignKey("blobs.digest"), primary_key=True),
        Column("intents", JSON, nullable=False),
        Column("environment", Text, nullable=False),
        Column("parent", Integer, nullable=False),
    )
    op.create_table(
        "events",
        Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("at", Double, nullable=False),
        Column("environment", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("plan", Text, nullable=False),
        Column("step", Text, nullable=False),
        Column("epoch", Integer, nullable=False),
        Column("subject", Text, nullable=False),
        Column("body", JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_environment", "events", ["environment", "seq"])
    op.create_index("events_of_plan", "events", ["plan", "seq"])
