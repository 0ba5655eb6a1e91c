"""`tidegate history`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def history(
    ctx: typer.Context,
    environment: options.Environment,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many revisions.")] = 20,
    json: options.Json = False,
) -> int:
    """Show the revisions of an environment, newest first: what changed, when, by whom and why.

    Examples:

      tidegate history dev

      tidegate history prod --limit 100 --json

    Exit status: 0 shown, 1 not possible, 64 wrong use.
    """
    from tidegate.app.inspect import history as look
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import HistoryDocument
    from tidegate.cli.output import write
    from tidegate.cli.views.console import out
    from tidegate.cli.views.tables import history_table

    async def work(workspace: Workspace) -> int:
        found = await look(workspace, environment, limit=limit)
        if json:
            write(HistoryDocument(environment, tuple(found)))
        elif found:
            out().print(history_table(found), soft_wrap=True)
        else:
            out().print(f"{environment} was never brought up.", soft_wrap=True)
        return 0

    return in_workspace(ctx, work, whole=False)
