"""Claims: the exclusive right to change some components, taken by compare-and-swap on the row of the environment.

Each function runs inside one write transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tidegate.errors import ClaimLost, ClaimRefused, StalePlan
from tidegate.model.digest import short
from tidegate.model.holder import holder_in_words, moment_in_words
from tidegate.model.plan import Plan
from tidegate.ports.store import Claim, EnvironmentRecord
from tidegate.stores.tables import environments


def record(connection: Connection, name: str) -> EnvironmentRecord:
    """The environment; a new one has no row yet."""
    row = connection.execute(select(environments).where(environments.c.name == name)).one_or_none()
    return to_record(row) if row else EnvironmentRecord(name, 0, 1)


def to_record(row: Any) -> EnvironmentRecord:
    """A row of the table as the port knows it."""
    claims = tuple(Claim(**{**claim, "components": tuple(claim["components"])}) for claim in row.claims)
    return EnvironmentRecord(row.name, row.head, row.next_number, claims)


def take(connection: Connection, plan: Plan, *, holder: str, until: float) -> Sequence[Claim]:
    """Claim every change of a plan, or none."""
    row = connection.execute(select(environments).where(environments.c.name == plan.environment)).one_or_none()
    found = to_record(row) if row else EnvironmentRecord(plan.environment, 0, 1)
    _check_fresh(plan, found)
    wanted = {component for change in plan.changes for component in change.components}
    for held in found.claims:
        if both := sorted(wanted.intersection(held.components)):
            raise _refused(held, both)
    epoch = row.next_epoch if row else 1
    claims = tuple(
        Claim(plan.environment, change.components, change.number, epoch + place, plan.digest, holder, until)
        for place, change in enumerate(plan.changes)
    )
    values = {
        "next_number": max([found.next_number, *(claim.number + 1 for claim in claims)]),
        "next_epoch": epoch + len(claims),
        "claims": [asdict(claim) for claim in (*found.claims, *claims)],
    }
    if row:
        connection.execute(update(environments).where(environments.c.name == plan.environment).values(**values))
    else:
        connection.execute(insert(environments).values(name=plan.environment, head=0, **values))
    return claims


def take_over(connection: Connection, claim: Claim, *, holder: str, now: float, lease: float, vanished: bool) -> Claim:
    """Replace a claim that is expired, or whose holder has vanished, by a younger one of the same change."""
    row = connection.execute(select(environments).where(environments.c.name == claim.environment)).one_or_none()
    held = next((c for c in to_record(row).claims if c.epoch == claim.epoch), None) if row else None
    if row is None or held is None:
        raise ClaimRefused(
            "cannot take over a claim",
            f"The claim of {', '.join(claim.components)} is gone: it was given back, or somebody else took it over.",
            hint=f"Look again: tidegate status {claim.environment}",
            address=claim.environment,
        )
    if held.lease > now and not vanished:
        raise _refused(held, held.components)
    younger = replace(held, epoch=row.next_epoch, holder=holder, lease=now + lease)
    _write(connection, to_record(row), lambda c: younger if c.epoch == held.epoch else c)
    connection.execute(
        update(environments).where(environments.c.name == claim.environment).values(next_epoch=younger.epoch + 1)
    )
    return younger


def renew(connection: Connection, claim: Claim, *, until: float) -> Claim:
    """Give the claim a new lease."""
    found = owned(connection, claim)
    renewed = replace(claim, lease=until)
    _write(connection, found, lambda c: renewed if c.epoch == claim.epoch else c)
    return renewed


def reserve(connection: Connection, claim: Claim) -> int:
    """Take the next revision number."""
    found = owned(connection, claim)
    connection.execute(
        update(environments).where(environments.c.name == found.name).values(next_number=found.next_number + 1)
    )
    return found.next_number


def give_back(connection: Connection, claim: Claim) -> None:
    """Drop the claim, if it is still there."""
    found = record(connection, claim.environment)
    if any(held.epoch == claim.epoch for held in found.claims):
        _write(connection, found, lambda c: None if c.epoch == claim.epoch else c)


def owned(connection: Connection, claim: Claim) -> EnvironmentRecord:
    """The environment, in which the claim still stands. Raises `ClaimLost`."""
    found = record(connection, claim.environment)
    if not any(held.epoch == claim.epoch for held in found.claims):
        raise ClaimLost(
            f"cannot go on with {claim.environment}",
            f"The claim of {', '.join(claim.components)} (epoch {claim.epoch}) was taken over or given back.",
            hint=f"See what became of it: tidegate status {claim.environment}",
            address=claim.environment,
        )
    return found


def _write(connection: Connection, found: EnvironmentRecord, change: Callable[[Claim], Claim | None]) -> None:
    kept = [asdict(claim) for claim in map(change, found.claims) if claim is not None]
    connection.execute(update(environments).where(environments.c.name == found.name).values(claims=kept))


def _check_fresh(plan: Plan, found: EnvironmentRecord) -> None:
    if found.head != plan.parent:
        detail = f"It was made on {plan.environment}@{plan.parent}; now the head is {plan.environment}@{found.head}."
    elif taken := [change.number for change in plan.changes if change.number < found.next_number]:
        detail = f"Another change took the number {taken[0]} after the plan was made."
    else:
        return
    raise StalePlan(
        "cannot apply a stale plan",
        detail,
        hint=f"Plan again: tidegate plan {plan.environment}",
        address=plan.environment,
    )


def _refused(held: Claim, components: Sequence[str]) -> ClaimRefused:
    return ClaimRefused(
        f"cannot change {held.environment}",
        f"{', '.join(components)}: being changed by {holder_in_words(held.holder)}. Its claim, of plan "
        f"{short(held.plan)} and epoch {held.epoch}, lasts until {moment_in_words(held.lease)} unless it is renewed.",
        hint=f"Wait for it; if it died, run: tidegate recover {held.environment}",
        address=held.environment,
    )
