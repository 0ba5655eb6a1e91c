"""What hangs in the middle: recover, resume, undo, abandon."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.app.change import policy_of
from tidegate.app.workspace import Workspace
from tidegate.errors import UsageError
from tidegate.execution import Place, Recovery
from tidegate.execution.progress import Reporter
from tidegate.ports.store import Claim


async def recover_environment(
    workspace: Workspace, environment: str, report: Reporter, *, by_hand: bool = False
) -> tuple[str, ...]:
    """Settle what vanished executors left; the names of the components. See `Recovery.recover`."""
    workspace = workspace.at(environment)
    if not (await workspace.store.environment(environment)).claims:
        return ()
    return _names(await _recovery(workspace, environment, report).recover(environment, by_hand=by_hand))


async def resume(
    workspace: Workspace,
    environment: str,
    report: Reporter,
    *,
    ran: Sequence[str] = (),
    not_ran: Sequence[str] = (),
    only: Sequence[str] = (),
) -> tuple[str, ...]:
    """Go forward with the changes that hang. `ran` and `not_ran` answer for runs that nobody saw end.

    Raises `UsageError` if nothing hangs, `ClaimRefused` while an executor lives, and what prevents it.
    """
    recovery = _recovery(workspace.at(environment), environment, report)
    return _names(await recovery.resume(environment, _answers(ran, not_ran), only))


async def undo(
    workspace: Workspace,
    environment: str,
    report: Reporter,
    *,
    ran: Sequence[str] = (),
    not_ran: Sequence[str] = (),
    only: Sequence[str] = (),
) -> tuple[str, ...]:
    """Go back to the parent (or, for what is committed, on to its end). Otherwise as `resume`."""
    recovery = _recovery(workspace.at(environment), environment, report)
    return _names(await recovery.undo(environment, _answers(ran, not_ran), only))


async def abandon(
    workspace: Workspace, environment: str, report: Reporter, *, because: str, only: Sequence[str] = ()
) -> tuple[str, ...]:
    """Record what is observed as a new revision and let go. Otherwise as `resume`."""
    if not because.strip():
        raise UsageError("cannot abandon a change without a reason", "The reason stays in the history, for ever.")
    recovery = _recovery(workspace.at(environment), environment, report)
    return _names(await recovery.abandon(environment, because, only))


def _recovery(workspace: Workspace, environment: str, report: Reporter) -> Recovery:
    return Recovery(
        Place(workspace.store, workspace.target, policy_of(workspace, environment).max_extra),
        holder=workspace.holder,
        by=workspace.actor,
        report=report,
        vanished=workspace.vanished,
    )


def _answers(ran: Sequence[str], not_ran: Sequence[str]) -> dict[str, bool]:
    if both := sorted(set(ran).intersection(not_ran)):
        raise UsageError(f"cannot take both for {both[0]}", "--ran says that it did, --not-ran that it did not.")
    return {**dict.fromkeys(ran, True), **dict.fromkeys(not_ran, False)}


def _names(claims: Sequence[Claim]) -> tuple[str, ...]:
    return tuple(sorted(name for claim in claims for name in claim.components))
