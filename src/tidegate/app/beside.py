"""What goes on beside a change that is unsettled: everything that does not touch it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.model.encoding import sealed
from tidegate.model.plan import Change
from tidegate.ports.store import Claim


async def unsettled_claims(workspace: Workspace, environment: str) -> tuple[Claim, ...]:
    """The claims of changes that could neither be finished nor be undone."""
    record = await workspace.at(environment).store.environment(environment)
    return tuple(claim for claim in record.claims if claim.unsettled)


async def untouched(workspace: Workspace, environment: str) -> tuple[str, ...]:
    """The components of this checkout that no unsettled change holds or is wired to; sorted."""
    claims = await unsettled_claims(workspace, environment)
    touched = {name for claim in claims for name in (*claim.components, *claim.neighbours)}
    return tuple(each.name for each in workspace.project.present(environment) if each.name not in touched)


async def split(workspace: Workspace, planned: Planned) -> tuple[Planned, Planned]:
    """A plan in two: the changes that no unsettled one stands in the way of, and those that one does."""
    claims = await unsettled_claims(workspace, planned.plan.environment)
    barred = [change for change in planned.plan.changes if any(claim.in_the_way_of(change) for claim in claims)]
    free = [change for change in planned.plan.changes if change not in barred]
    return _only(planned, free), _only(planned, barred)


def _only(planned: Planned, changes: Iterable[Change]) -> Planned:
    return replace(planned, plan=sealed(replace(planned.plan, changes=tuple(changes))))
