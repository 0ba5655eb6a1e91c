"""The eight tables. Environments and the claims in them are updated; a dirty release may become a clean one; all else
is only ever added, and artifacts are forgotten when their bytes are gone.

JSON is kept as text in PostgreSQL too: nobody looks into it there, and unlike JSONB it takes every string.

Environments are named, not numbered: their name is what everything else refers to.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

VERSION = 3  # of all tables together; see `tidegate.stores.migrations`

metadata = MetaData()

environments = Table(
    "environments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("head", Integer, nullable=False),
    Column("next_number", Integer, nullable=False),
    Column("next_epoch", Integer, nullable=False),
    Column("claims", JSON, nullable=False),
    Column("place", Text, nullable=False, server_default=""),
)

# Compressed: the pins of 1,000 components repeat themselves, and there is a set of them for every revision.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("component", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("dirty", Boolean, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("body", JSON, nullable=False),
    Index("releases_of_component", "component", "at"),
)

# No foreign key to releases: an artifact is put down when it is built, its release when all of them are.
artifacts = Table(
    "artifacts",
    metadata,
    Column("release", Text, primary_key=True),
    Column("format", Text, primary_key=True),
    Column("platform", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("location", Text, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("parent", Integer, nullable=False),
    Column("pins", Text, ForeignKey("blobs.digest"), nullable=False),
    Column("plan", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("component", Text, primary_key=True),
    Column("old", JSON(none_as_null=True)),
    Column("new", JSON(none_as_null=True)),
)

# The plan itself is the blob of the same digest. `intents` are those of its changes, in their order.
plans = Table(
    "plans",
    metadata,
    Column("digest", Text, ForeignKey("blobs.digest"), primary_key=True),
    Column("intents", JSON, nullable=False),
    Column("environment", Text, nullable=False),
    Column("parent", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
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
    Index("events_of_environment", "environment", "seq"),
    Index("events_of_plan", "plan", "seq"),
    Index("events_of_kind", "environment", "kind", "seq"),
    sqlite_autoincrement=True,  # a journal never gives a number twice
)

# Which version the tables are of; one row. Laid out as Alembic wants it, under a name that no other program's has.
# `store` names this store among all stores.
schema_version = Table(
    "tidegate_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    Column("store", String(32), nullable=False, server_default=""),
    PrimaryKeyConstraint("version_num", name="tidegate_version_pkc"),
)
