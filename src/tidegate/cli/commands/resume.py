"""`tidegate resume`."""

from __future__ import annotations

from functools import partial

import typer

from tidegate.cli import options


def resume(
    ctx: typer.Context,
    environment: options.Environment,
    ran: options.Ran = None,
    not_ran: options.NotRan = None,
    only: options.Only = None,
    json: options.Json = False,
) -> int:
    """Go on with a change that hangs in the middle: bring its components to what it wanted, and commit it.

    For a change that is unsettled, once what prevented it is out of the way (`tidegate status ENV` shows it, step by
    step). Steps that are done already are not done again.

    Where a migration was ended in the middle and nobody saw how far it came, look, and say it: --ran COMPONENT counts
    it as done, --not-ran COMPONENT as never run, so that it is run from its beginning.

    Examples:

      tidegate resume dev

      tidegate resume dev --only orders       where several changes hang

      tidegate resume dev --not-ran orders    its migration left nothing; run it

    Exit status: 0 committed, 1 not possible: it still hangs, 64 wrong use or nothing hangs.
    """
    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.settling import resume as go_on
    from tidegate.cli.documents import ResumeDocument
    from tidegate.cli.settling import Names, Telling, settle

    def line(names: Names, now: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} went on to the end; {now.revision or 'nothing'} is what counts."

    act = partial(go_on, ran=ran or (), not_ran=not_ran or (), only=only or ())
    return settle(ctx, environment, act, Telling(line, ResumeDocument, json))
