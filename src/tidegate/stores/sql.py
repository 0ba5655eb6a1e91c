"""The store in a SQL database.

One connection and one thread at a time: a transaction takes a fraction of a millisecond, unless another process
writes; then the thread waits, and the event loop does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from tidegate.errors import NotInStore, StoreError
from tidegate.model.component import Artifact, Release
from tidegate.model.digest import canonical, digest_bytes
from tidegate.model.encoding import plan_from_json, plan_to_json
from tidegate.model.pins import Pin, Revision
from tidegate.model.plan import Plan
from tidegate.model.release_json import release_from_json, release_to_json
from tidegate.ports.clock import Clock
from tidegate.ports.store import Claim, EnvironmentRecord, Event
from tidegate.stores import claims, revisions
from tidegate.stores.dialect import CLOCK, insert_new, moment
from tidegate.stores.failures import store_error
from tidegate.stores.postgresql import POSTGRESQL_URL, open_postgresql, server_in_words
from tidegate.stores.sqlite import WRITES, open_sqlite
from tidegate.stores.tables import artifacts, environments, events, plans, releases, schema_version

T = TypeVar("T")
SQLITE_URL = "sqlite:///"
CHUNK = 500  # databases limit how many values one statement takes


class SqlStore:
    """Implements `tidegate.ports.store.Store`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._reading = engine
        self._writing = engine.execution_options(**{WRITES: True})
        self._where = where
        self._one = anyio.CapacityLimiter(1)

    @classmethod
    def open(cls, location: str | Path, clock: Clock) -> SqlStore:
        """Open a store, and create it if there is none: a path, `sqlite:///PATH`, or `postgresql://HOST/DATABASE`.

        A store of an older version is migrated. Leases and the journal go by the clock of the server; by `clock`
        where there is none. Raises `StoreError`; the store is then as it was.
        """
        text = str(location)
        if text.startswith(POSTGRESQL_URL):
            engine = open_postgresql(text)
            return cls(engine, server_in_words(engine.url))
        if "://" in text and not text.startswith(SQLITE_URL):
            raise StoreError(
                "cannot open the store",
                f"This Tidegate knows no store of the kind {text.split(':', 1)[0]}.",
                hint=f"Name a file, {SQLITE_URL}PATH, or {POSTGRESQL_URL}USER@HOST/DATABASE.",
            )
        path = Path(text.removeprefix(SQLITE_URL))
        return cls(open_sqlite(path).execution_options(**{CLOCK: clock.now}), str(path))

    # Environments and revisions

    async def identity(self) -> str:
        """See `Store`."""
        return str(await self._read(lambda c: c.execute(select(schema_version.c.store)).scalar()))

    async def environments(self) -> Sequence[EnvironmentRecord]:
        """See `Store`."""
        query = select(environments)
        found = await self._read(lambda c: [claims.to_record(row) for row in c.execute(query)])
        return sorted(found, key=lambda record: record.name)  # databases differ in how they sort

    async def environment(self, name: str) -> EnvironmentRecord:
        """See `Store`."""
        return await self._read(lambda c: claims.record(c, name))

    async def revision(self, environment: str, number: int) -> Revision:
        """See `Store`."""
        return await self._read(lambda c: revisions.revision(c, environment, number))

    async def history(self, environment: str, *, limit: int = 50) -> Sequence[Revision]:
        """See `Store`."""
        return await self._read(lambda c: revisions.history(c, environment, limit))

    # Releases and artifacts

    async def put_release(self, release: Release) -> Release:
        """See `Store`."""

        def put(connection: Connection) -> Release:
            values = {
                "digest": release.digest,
                "component": release.component,
                "version": release.version,
                "commit": release.commit,
                "dirty": release.dirty,
                "by": release.by,
                "at": release.at,
                "body": release_to_json(release),
            }
            if insert_new(connection, releases, values):
                return release
            same = releases.c.digest == release.digest
            if not release.dirty:
                cleaner = update(releases).where(same, releases.c.dirty).values(values)
                if connection.execute(cleaner).rowcount:
                    return release
            return release_from_json(connection.execute(select(releases.c.body).where(same)).scalar_one())

        return await self._write(put)

    async def release(self, digest: str) -> Release:
        """See `Store`."""
        query = select(releases.c.body).where(releases.c.digest == digest)
        body = await self._read(lambda c: c.execute(query).scalar())
        if body is None:
            raise _no_release(digest)
        return release_from_json(body)

    async def releases_named(self, digests: Collection[str]) -> Mapping[str, Release]:
        """See `Store`."""
        names = sorted(set(digests))

        def get(connection: Connection) -> dict[str, Release]:
            found = {}
            for start in range(0, len(names), CHUNK):
                part = releases.c.digest.in_(names[start : start + CHUNK])
                for row in connection.execute(select(releases.c.digest, releases.c.body).where(part)):
                    found[row.digest] = release_from_json(row.body)
            return found

        found = await self._read(get)
        if missing := [name for name in names if name not in found]:
            raise _no_release(missing[0])
        return found

    async def releases(self, component: str | None = None) -> Sequence[Release]:
        """See `Store`."""
        query = select(releases.c.body).order_by(releases.c.at.desc(), releases.c.digest)
        if component is not None:
            query = query.where(releases.c.component == component)
        return await self._read(lambda c: [release_from_json(body) for body in c.execute(query).scalars()])

    async def put_artifact(self, artifact: Artifact) -> Artifact:
        """See `Store`."""

        def put(connection: Connection) -> Artifact:
            values = {
                "release": artifact.release,
                "format": artifact.format,
                "platform": artifact.platform,
                "digest": artifact.digest,
                "location": artifact.location,
            }
            if insert_new(connection, artifacts, values):
                return artifact
            same = [column == values[column.name] for column in artifacts.primary_key]
            return _artifact(connection.execute(select(artifacts).where(*same)).one())

        return await self._write(put)

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        """See `Store`."""
        query = select(artifacts).where(artifacts.c.release == release).order_by(*artifacts.primary_key)
        return await self._read(lambda c: [_artifact(row) for row in c.execute(query)])

    async def forget_artifact(self, artifact: Artifact) -> None:
        """See `Store`."""
        query = delete(artifacts).where(
            artifacts.c.release == artifact.release,
            artifacts.c.format == artifact.format,
            artifacts.c.platform == artifact.platform,
            artifacts.c.digest == artifact.digest,
        )
        await self._write(lambda c: c.execute(query))

    # Blobs and plans

    async def put_blob(self, kind: str, content: bytes) -> str:
        """See `Store`."""
        return await self._write(lambda c: revisions.put_blob(c, kind, content))

    async def blob(self, digest: str) -> bytes:
        """See `Store`."""
        return await self._read(lambda c: revisions.blob(c, digest))

    async def put_plan(self, plan: Plan) -> None:
        """See `Store`. Raises `StoreError` if the plan is not the one that its digest names."""
        content = canonical(plan_to_json(plan))
        name = digest_bytes("plan", content)
        if name != plan.digest:
            raise StoreError("cannot keep a plan", f"Its digest says {plan.digest}, its content {name}.")

        def put(connection: Connection) -> None:
            revisions.put_blob(connection, "plan", content)
            values = {
                "digest": name,
                "intents": [change.intent for change in plan.changes],
                "environment": plan.environment,
                "parent": plan.parent,
            }
            insert_new(connection, plans, values)

        await self._write(put)

    async def plan(self, digest: str) -> Plan:
        """See `Store`."""

        def get(connection: Connection) -> bytes | None:
            known = connection.execute(select(plans.c.digest).where(plans.c.digest == digest)).first()
            return revisions.blob(connection, digest) if known else None

        content = await self._read(get)
        if content is None:
            raise NotInStore("cannot find a plan", f"The store has no plan {digest}.", hint="Plan again.")
        return plan_from_json(json.loads(content))

    # Claims

    async def claim(self, plan: Plan, *, holder: str, lease: float, place: str = "") -> Sequence[Claim]:
        """See `Store`."""
        return await self._write(lambda c: claims.take(c, plan, holder=holder, lease=lease, place=place))

    async def take_over(self, claim: Claim, *, holder: str, lease: float, vanished: bool = False) -> Claim:
        """See `Store`."""
        return await self._write(lambda c: claims.take_over(c, claim, holder=holder, lease=lease, vanished=vanished))

    async def unsettle(self, claim: Claim, why: str) -> Claim:
        """See `Store`."""
        return await self._write(lambda c: claims.unsettle(c, claim, why))

    async def renew(self, claim: Claim, *, lease: float) -> Claim:
        """See `Store`."""
        return await self._write(lambda c: claims.renew(c, claim, lease=lease))

    async def reserve_numbers(self, environment: str, count: int) -> int:
        """See `Store`."""
        return await self._write(lambda c: claims.reserve_numbers(c, environment, count))

    async def reserve(self, claim: Claim) -> int:
        """See `Store`."""
        return await self._write(lambda c: claims.reserve(c, claim))

    async def commit(
        self, claim: Claim, pins: Mapping[str, Pin | None], *, by: str, why: str, number: int | None = None
    ) -> Revision:
        """See `Store`."""
        wanted = claim.number if number is None else number

        def make(connection: Connection) -> Revision:
            made = revisions.commit(connection, claim, pins, by=by, why=why, number=wanted)
            _journal(
                connection,
                Event(
                    environment=made.environment,
                    kind="committed",
                    actor=by,
                    plan=made.plan,
                    epoch=claim.epoch,
                    subject=made.name,
                    body={"number": made.number, "parent": made.parent, "components": sorted(pins)},
                ),
                made.at,
            )
            return made

        return await self._write(make)

    async def release_claim(self, claim: Claim) -> None:
        """See `Store`."""
        await self._write(
            lambda c: claims.give_back(c, claim, pinned=lambda found: bool(revisions.head_pins(c, found)))
        )

    # The journal

    async def append(self, event: Event) -> None:
        """See `Store`."""
        await self._write(lambda c: _journal(c, event, moment(c)))

    async def events(
        self,
        *,
        environment: str | None = None,
        plan: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Event]:
        """See `Store`."""
        query = select(events).order_by(events.c.seq.desc()).limit(limit)
        wanted = {"environment": environment, "plan": plan, "kind": kind, "subject": subject}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(events.c[name] == value)
        rows = await self._read(lambda c: c.execute(query).mappings().all())
        return [Event(**row) for row in reversed(rows)]

    async def close(self) -> None:
        """See `Store`."""
        await to_thread.run_sync(self._reading.dispose, limiter=self._one)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await to_thread.run_sync(self._transact, self._reading, work, limiter=self._one)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await to_thread.run_sync(self._transact, self._writing, work, limiter=self._one)

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        try:
            with engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise store_error(error, self._where) from error


def _journal(connection: Connection, event: Event, at: Any) -> None:
    connection.execute(
        insert(events).values(
            at=at,
            environment=event.environment,
            actor=event.actor,
            kind=event.kind,
            plan=event.plan,
            step=event.step,
            epoch=event.epoch,
            subject=event.subject,
            body=dict(event.body),
        )
    )


def _no_release(digest: str) -> NotInStore:
    return NotInStore(
        "cannot find a release", f"The store has no release {digest}.", hint="See those it has: tidegate releases"
    )


def _artifact(row: Any) -> Artifact:
    return Artifact(row.digest, row.release, row.format, row.platform, row.location)
