"""`tidegate undo`."""

from __future__ import annotations

from functools import partial

import typer

from tidegate.cli import options


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
    from tidegate.cli.documents import UndoDocument
    from tidegate.cli.settling import Names, Telling, settle

    def line(names: Names, now: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} settled; {now.revision or 'nothing'} is what counts."

    act = partial(go_back, ran=ran or (), not_ran=not_ran or (), only=only or ())
    return settle(ctx, environment, act, Telling(line, UndoDocument, json))
