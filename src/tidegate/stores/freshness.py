"""Whether a plan still says what is to be done, though others committed after it was made.

Inside the transaction that claims it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from tidegate.errors import StalePlan
from tidegate.model.holder import holder_in_words, moment_in_words
from tidegate.model.plan import Plan
from tidegate.ports.store import EnvironmentRecord
from tidegate.stores.tables import changes, revisions


def check_fresh(connection: Connection, plan: Plan, found: EnvironmentRecord) -> None:
    """Raises `StalePlan` if a revision since the plan's parent touched a component of the plan or a neighbour of one,
    or if a number of it is taken."""
    if detail := _touched(connection, plan, found) or _taken(connection, plan, found):
        raise StalePlan(
            "cannot apply a stale plan",
            detail,
            hint=f"Plan again: tidegate plan {plan.environment}",
            address=plan.environment,
        )


def _touched(connection: Connection, plan: Plan, found: EnvironmentRecord) -> str:
    if found.head == plan.parent:
        return ""
    since = _since(connection, found, plan.parent)
    name = plan.environment
    if since is None:
        return f"It was made on {name}@{plan.parent}, which {name}@{found.head} does not come from."
    names = {name for change in plan.changes for name in (*change.components, *change.neighbours)}
    rows = connection.execute(
        select(changes.c.number, changes.c.component).where(
            changes.c.environment == name, changes.c.number.in_(since), changes.c.component.in_(names)
        )
    ).all()
    lines = []
    for number in since:
        if components := sorted(row.component for row in rows if row.number == number):
            one = (revisions.c.environment == name) & (revisions.c.number == number)
            made = connection.execute(select(revisions.c.by, revisions.c.at).where(one)).one()
            lines.append(f"{name}@{number}, by {made.by} at {moment_in_words(made.at)}: {', '.join(components)}.")
    if not lines:
        return ""
    return f"It was made on {name}@{plan.parent}. Since then changed, with\n" + "\n".join(lines)


def _since(connection: Connection, found: EnvironmentRecord, parent: int) -> Sequence[int] | None:
    """Numbers from the head down to the first above `parent`; None if that is not on the way down."""
    line = (
        select(revisions.c.number, revisions.c.parent)
        .where(revisions.c.environment == found.name, revisions.c.number == found.head)
        .cte("line", recursive=True)
    )
    line = line.union_all(
        select(revisions.c.number, revisions.c.parent)
        .join(line, (revisions.c.environment == found.name) & (revisions.c.number == line.c.parent))
        .where(line.c.parent != parent)
    )
    rows = connection.execute(select(line)).all()
    return [row.number for row in rows] if any(row.parent == parent for row in rows) else None


def _taken(connection: Connection, plan: Plan, found: EnvironmentRecord) -> str:
    """A number below the next free one is fine as long as no claim and no revision has it: it was reserved."""
    numbers = [change.number for change in plan.changes if change.number < found.next_number]
    if not numbers:
        return ""
    for held in found.claims:
        if held.number in numbers:
            who = holder_in_words(held.holder)
            return f"{who[0].upper()}{who[1:]} took the number {held.number} after the plan was made."
    made = connection.execute(
        select(revisions.c.number, revisions.c.by, revisions.c.at).where(
            revisions.c.environment == found.name, revisions.c.number.in_(numbers)
        )
    ).first()
    if made is None:
        return ""
    return f"{found.name}@{made.number} was made after the plan, by {made.by} at {moment_in_words(made.at)}."
