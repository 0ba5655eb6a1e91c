"""Claims: the exclusive right to change some components, taken by compare-and-swap on the row of the environment.

Each function runs inside one write transaction of its caller, and locks that row first. `now` is the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, select, update

from tidegate.errors import ClaimLost, ClaimRefused, StoreError
from tidegate.model.digest import short
from tidegate.model.holder import holder_in_words, moment_in_words
from tidegate.model.plan import Plan
from tidegate.ports.store import Claim, EnvironmentRecord
from tidegate.stores.dialect import insert_new, now
from tidegate.stores.freshness import check_fresh
from tidegate.stores.tables import environments

NAMES = ("components", "neighbours")  # of a claim, which JSON knows as lists


def record(connection: Connection, name: str) -> EnvironmentRecord:
    """The environment; a new one has no row yet."""
    row = connection.execute(select(environments).where(environments.c.name == name)).one_or_none()
    return to_record(row) if row else EnvironmentRecord(name, 0, 1)


def to_record(row: Any) -> EnvironmentRecord:
    """A row of the table as the port knows it."""
    claims = tuple(
        Claim(**{**claim, **{name: tuple(claim[name]) for name in NAMES if name in claim}}) for claim in row.claims
    )
    return EnvironmentRecord(row.name, row.head, row.next_number, claims, row.place)


def take(connection: Connection, plan: Plan, *, holder: str, lease: float, place: str) -> Sequence[Claim]:
    """Claim every change of a plan, or none."""
    row = _locked(connection, plan.environment)
    if row is None:
        blank = {"head": 0, "next_number": 1, "next_epoch": 1, "claims": [], "place": ""}
        insert_new(connection, environments, {"name": plan.environment, **blank})
        row = _locked(connection, plan.environment)
    found = to_record(row)
    if place and found.place not in {"", place}:
        raise ClaimRefused(
            f"cannot change {found.name} from here",
            f"It lives at {found.place}; here is {place}.",
            hint="Run the command there. An environment that is taken down, with `tidegate down`, may live elsewhere.",
            address=found.name,
        )
    check_fresh(connection, plan, found)
    for change in plan.changes:
        for held in found.claims:
            if both := held.in_the_way_of(change):
                raise _refused(held, both)
    at = now(connection)
    claims = tuple(
        Claim(
            environment=plan.environment,
            components=change.components,
            number=change.number,
            epoch=row.next_epoch + order,
            plan=plan.digest,
            holder=holder,
            lease=at + lease,
            neighbours=change.neighbours,
            at=at,
        )
        for order, change in enumerate(plan.changes)
    )
    _update(
        connection,
        found.name,
        next_number=max([found.next_number, *(claim.number + 1 for claim in claims)]),
        next_epoch=row.next_epoch + len(claims),
        claims=[asdict(claim) for claim in (*found.claims, *claims)],
        place=found.place or place,
    )
    return claims


def take_over(connection: Connection, claim: Claim, *, holder: str, lease: float, vanished: bool) -> Claim:
    """Replace a claim that is expired or unsettled, or whose holder has vanished, by a younger one of the same change.

    A lease that ends later than one given now could end was given before the clock was set back: it is expired.
    """
    row = _locked(connection, claim.environment)
    held = next((c for c in to_record(row).claims if c.epoch == claim.epoch), None) if row else None
    if row is None or held is None:
        raise ClaimRefused(
            "cannot take over a claim",
            f"The claim of {', '.join(claim.components)} is gone: it was given back, or somebody else took it over.",
            hint=f"Look again: tidegate status {claim.environment}",
            address=claim.environment,
        )
    at = now(connection)
    if at < held.lease <= at + lease and not held.unsettled and not vanished:
        raise _refused(held, held.components)
    younger = replace(held, epoch=row.next_epoch, holder=holder, lease=at + lease, recovering=True, unsettled="")
    _write(connection, to_record(row), lambda c: younger if c.epoch == held.epoch else c)
    _update(connection, claim.environment, next_epoch=younger.epoch + 1)
    return younger


def unsettle(connection: Connection, claim: Claim, why: str) -> Claim:
    """Leave the claim to whoever takes it over."""
    found, held = owned(connection, claim)
    unsettled = replace(held, unsettled=why, lease=now(connection))
    _write(connection, found, lambda c: unsettled if c.epoch == claim.epoch else c)
    return unsettled


def renew(connection: Connection, claim: Claim, *, lease: float) -> Claim:
    """Give the claim a new lease."""
    found, held = owned(connection, claim)
    renewed = replace(held, lease=now(connection) + lease)
    _write(connection, found, lambda c: renewed if c.epoch == claim.epoch else c)
    return renewed


def reserve_numbers(connection: Connection, name: str, count: int) -> int:
    """Take the next `count` revision numbers; the first of them."""
    row = _locked(connection, name)
    first = row.next_number if row else 1
    if row:
        _update(connection, name, next_number=first + count)
    return int(first)


def reserve(connection: Connection, claim: Claim) -> int:
    """Take the next revision number."""
    found, _ = owned(connection, claim)
    _update(connection, found.name, next_number=found.next_number + 1)
    return found.next_number


def give_back(connection: Connection, claim: Claim, *, pinned: Callable[[EnvironmentRecord], bool]) -> None:
    """Drop the claim, if it is still there. With the last one, an environment where nothing is `pinned` lives nowhere
    any more."""
    row = _locked(connection, claim.environment)
    if row is None:
        return
    found = to_record(row)
    if any(held.epoch == claim.epoch for held in found.claims):
        _write(connection, found, lambda c: None if c.epoch == claim.epoch else c)
        if len(found.claims) == 1 and found.place and not pinned(found):
            _update(connection, found.name, place="")


def owned(connection: Connection, claim: Claim) -> tuple[EnvironmentRecord, Claim]:
    """The environment, locked, and the claim as it stands there. Raises `ClaimLost`."""
    row = _locked(connection, claim.environment)
    if row is not None:
        found = to_record(row)
        for held in found.claims:
            if held.epoch == claim.epoch:
                return found, held
    raise ClaimLost(
        f"cannot go on with {claim.environment}",
        f"The claim of {', '.join(claim.components)} (epoch {claim.epoch}) was taken over or given back.",
        hint=f"See what became of it: tidegate status {claim.environment}",
        address=claim.environment,
    )


def check_number(claim: Claim, found: EnvironmentRecord, number: int) -> None:
    """Whether this claim may make that revision. Raises `StoreError`."""
    if number != claim.number and not claim.number < number < found.next_number:
        raise StoreError(
            f"cannot commit {claim.environment}@{number}",
            "Nobody reserved that number.",
            address=claim.environment,
        )


def _locked(connection: Connection, name: str) -> Any:
    """The row, which nobody else can change before this transaction ends; None if there is none."""
    query = select(environments).where(environments.c.name == name).with_for_update()
    return connection.execute(query).one_or_none()


def _write(connection: Connection, found: EnvironmentRecord, change: Callable[[Claim], Claim | None]) -> None:
    _update(connection, found.name, claims=[asdict(c) for c in map(change, found.claims) if c is not None])


def _update(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(update(environments).where(environments.c.name == name).values(**values))


def _refused(held: Claim, shared: Sequence[str]) -> ClaimRefused:
    environment = held.environment
    since = f"since {moment_in_words(held.at)} " if held.at else ""  # older stores did not keep it
    others = f", for which {', '.join(held.components)} change" if set(shared) != set(held.components) else ""
    plan = f"plan {short(held.plan)} and epoch {held.epoch}"
    if held.unsettled:
        return ClaimRefused(
            f"cannot change {environment}",
            f"{', '.join(shared)}: unsettled {since}by {holder_in_words(held.holder)}, of {plan}{others}. The change "
            f"could be neither finished nor undone: {held.unsettled}",
            hint=f"`tidegate status {environment}` shows each step, and which of the ways out are left:\n"
            f"tidegate resume {environment}, tidegate undo {environment}, "
            f'tidegate abandon {environment} --because "…"',
            address=environment,
        )
    return ClaimRefused(
        f"cannot change {environment}",
        f"{', '.join(shared)}: being changed {since}by {holder_in_words(held.holder)}. Its claim, of {plan}{others}, "
        f"lasts until {moment_in_words(held.lease)} unless it is renewed.",
        hint=f"Wait for it; if it died, run: tidegate recover {environment}",
        address=environment,
    )
