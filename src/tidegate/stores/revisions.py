"""Revisions: how one is made on top of the head, and how the line of them is read.

Each function runs inside one transaction of its caller.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, literal, select, update

from tidegate.errors import NotInStore, StoreError
from tidegate.model.digest import canonical, digest_bytes
from tidegate.model.encoding import pin_from_json, pin_to_json, pins_from_json, pins_to_json
from tidegate.model.pins import Pin, Pins, Revision
from tidegate.ports.store import Claim, EnvironmentRecord
from tidegate.stores import claims
from tidegate.stores.dialect import insert_new, now
from tidegate.stores.tables import blobs, changes, environments, revisions


def put_blob(connection: Connection, kind: str, content: bytes) -> str:
    """Keep bytes; again is harmless."""
    name = digest_bytes(kind, content)
    if connection.execute(select(blobs.c.digest).where(blobs.c.digest == name)).first() is None:
        insert_new(connection, blobs, {"digest": name, "bytes": zlib.compress(content, 1)})
    return name


def blob(connection: Connection, name: str) -> bytes:
    """Raises `NotInStore`."""
    content = connection.execute(select(blobs.c.bytes).where(blobs.c.digest == name)).scalar_one_or_none()
    if content is None:
        raise NotInStore("cannot find a blob", f"The store has no {name}.", hint="Is this the right store?")
    return zlib.decompress(content)


def revision(connection: Connection, environment: str, number: int) -> Revision:
    """Raises `NotInStore`."""
    row = connection.execute(
        select(revisions).where(revisions.c.environment == environment, revisions.c.number == number)
    ).one_or_none()
    if row is None:
        raise NotInStore(
            f"cannot find {environment}@{number}",
            "The store has no such revision.",
            hint=f"See those it has: tidegate history {environment}",
            address=environment,
        )
    return _revision(row, _pins(connection, row.pins))


def history(connection: Connection, environment: str, limit: int) -> Sequence[Revision]:
    """From the head along the parents: numbers are reserved before and may be committed in another order."""
    head = claims.record(connection, environment).head
    line = (
        select(revisions, literal(1).label("place"))
        .where(revisions.c.environment == environment, revisions.c.number == head)
        .cte("line", recursive=True)
    )
    line = line.union_all(
        select(revisions, (line.c.place + 1).label("place"))
        .join(line, (revisions.c.environment == line.c.environment) & (revisions.c.number == line.c.parent))
        .where(line.c.place < limit)
    )
    rows = connection.execute(select(line).order_by(line.c.place).limit(limit)).all()
    if not rows:
        return ()
    # Only the set of the head is read whole; each parent differs from its child by the changes of the child.
    pins = _pins(connection, rows[0].pins)
    back: dict[int, dict[str, Any]] = {}
    numbers = [row.number for row in rows]
    for start in range(0, len(numbers), 500):  # databases limit how many values one statement takes
        part = numbers[start : start + 500]
        found = select(changes.c.number, changes.c.component, changes.c.old).where(
            changes.c.environment == environment, changes.c.number.in_(part)
        )
        for change in connection.execute(found):
            back.setdefault(change.number, {})[change.component] = change.old
    result = []
    for row in rows:
        result.append(_revision(row, pins))
        old = back.get(row.number, {})
        pins = _replaced(
            pins, {component: None if pin is None else pin_from_json(pin) for component, pin in old.items()}
        )
    return result


def commit(
    connection: Connection,
    claim: Claim,
    pins: Mapping[str, Pin | None],
    *,
    by: str,
    why: str,
    number: int,
) -> Revision:
    """Make a revision of a claim on top of the head. The row of the environment is locked."""
    found, _ = claims.owned(connection, claim)
    claims.check_number(claim, found, number)
    if strangers := sorted(pins.keys() - set(claim.components)):
        raise StoreError(
            f"cannot commit {claim.environment}@{number}",
            f"The claim does not cover {', '.join(strangers)}.",
            address=claim.environment,
        )
    same = select(revisions.c.number).where(revisions.c.environment == claim.environment, revisions.c.number == number)
    if connection.execute(same).first() is not None:
        raise StoreError(
            f"cannot commit {claim.environment}@{number}", "It is committed already.", address=claim.environment
        )
    before = head_pins(connection, found)
    after = _replaced(before, pins)
    name = put_blob(connection, "pin-set", canonical(pins_to_json(after)))
    made = Revision(claim.environment, number, found.head, after, claim.plan, by, why, now(connection))
    connection.execute(
        insert(revisions).values(
            environment=made.environment,
            number=made.number,
            parent=made.parent,
            pins=name,
            plan=made.plan,
            by=by,
            why=why,
            at=made.at,
        )
    )
    differences = [
        {
            "environment": made.environment,
            "number": made.number,
            "component": component,
            "old": _json(before.get(component)),
            "new": _json(pin),
        }
        for component, pin in sorted(pins.items())
        if before.get(component) != pin
    ]
    if differences:
        connection.execute(insert(changes), differences)
    connection.execute(update(environments).where(environments.c.name == made.environment).values(head=made.number))
    return made


def head_pins(connection: Connection, found: EnvironmentRecord) -> Pins:
    """What the environment is meant to run."""
    if not found.head:
        return {}
    query = select(revisions.c.pins).where(revisions.c.environment == found.name, revisions.c.number == found.head)
    return _pins(connection, connection.execute(query).scalar_one())


def _pins(connection: Connection, name: str) -> Pins:
    return pins_from_json(json.loads(blob(connection, name)))


def _replaced(pins: Pins, by: Mapping[str, Pin | None]) -> Pins:
    merged = {**pins, **by}
    return {component: merged[component] for component in sorted(merged) if merged[component] is not None}  # type: ignore[misc]


def _json(pin: Pin | None) -> dict[str, Any] | None:
    return None if pin is None else pin_to_json(pin)


def _revision(row: Any, pins: Pins) -> Revision:
    return Revision(row.environment, row.number, row.parent, pins, row.plan, row.by, row.why, row.at)
