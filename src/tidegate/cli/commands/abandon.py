"""`tidegate abandon`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import confirm, refuse_without_terminal
from tidegate.errors import TidegateError


def abandon(
    ctx: typer.Context,
    environment: options.Environment,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; stays in the history, for ever.")],
    only: options.Only = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> int:
    """Give up on a change that hangs in the middle: record what is there now as a new revision, whatever it is.

    The last resort, for a change that can go neither on (`resume`) nor back (`undo`). Of each component the release
    that answers now is pinned; one of which none answers is in the environment no more. Nothing is started or
    stopped. Migrations that nobody saw end are not asked about again. Asks first; without a terminal it needs --yes.

    Examples:

      tidegate abandon dev --because "the old artifact is lost"

      tidegate abandon dev --because "moved by hand" --only orders --yes

    Exit status: 0 recorded, 1 not possible or not confirmed, 64 wrong use or nothing hangs.
    """
    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.settling import abandon as give_up
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import AbandonDocument
    from tidegate.cli.settling import Names, Telling, look, settle
    from tidegate.cli.views.console import err, interactive
    from tidegate.cli.views.tables import environment_lines

    def line(names: Names, now: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} given up; {now.revision} records what is there."

    async def ask(workspace: Workspace) -> None:
        found = await look(workspace, environment)
        hanging = [claim for claim in found.claims if not only or set(only).intersection(claim.components)]
        if not hanging:
            return
        if json or not interactive():
            raise refuse_without_terminal("abandon a change")
        for each in environment_lines(found):
            err().print(each, soft_wrap=True)
        names = ", ".join(sorted(name for claim in hanging for name in claim.components))
        if not confirm(f"Record what is there of {names} as a new revision of {environment}, and give the change up?"):
            raise TidegateError("cannot go on: not confirmed", "Nothing was changed.")

    act = partial(give_up, because=because, only=only or ())
    return settle(ctx, environment, act, Telling(line, AbandonDocument, json), before=None if yes else ask)
