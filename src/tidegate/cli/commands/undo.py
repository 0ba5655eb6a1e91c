"""`tidegate undo`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace


def undo(
    ctx: typer.Context,
    environment: options.Environment,
    ran: options.Ran = None,
    not_ran: options.NotRan = None,
    only: options.Only = None,
    json: options.Json = False,
) -> int:
    """Go back from a change that hangs in the middle, to what was there before it.

    For a change that is unsettled, once what prevented its undo is out of the way (`tidegate status ENV` shows it, step
    by step). A change that is committed already has no way back: it is finished instead. An older release comes back
    with its sources, as any other: `git revert`, then `tidegate up`.

    Where a migration was ended in the middle and nobody saw how far it came, look, and say it: --ran COMPONENT has it
    taken back with its `undo:`, --not-ran COMPONENT counts it as never run.

    Examples:

      tidegate undo dev

      tidegate undo dev --only orders    where several changes hang

      tidegate undo dev --ran orders     its migration did all; take it back

    Exit status: 0 undone, 1 not possible: it still hangs, 64 wrong use or nothing hangs.
    """
    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.settling import undo as go_back
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import UndoDocument
    from tidegate.cli.settling import Names, Telling, settle_and_tell
    from tidegate.execution.progress import Reporter

    def line(names: Names, now: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} settled; {now.revision or 'nothing'} is what counts."

    async def work(workspace: Workspace) -> int:
        await check_environment(workspace, environment)

        async def act(report: Reporter) -> Names:
            return await go_back(workspace, environment, report, ran=ran or (), not_ran=not_ran or (), only=only or ())

        return await settle_and_tell(workspace, environment, act, Telling(line, UndoDocument, json))

    return in_workspace(ctx, work, whole=False)
