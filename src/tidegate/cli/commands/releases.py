"""`tidegate releases`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def releases(ctx: typer.Context, component: options.OneComponent = None, json: options.Json = False) -> int:
    """List the releases that were made, newest first, and where they are pinned.

    Examples:

      tidegate releases

      tidegate releases backend

    Exit status: 0 listed, 1 not possible, 64 wrong use.
    """
    from tidegate.app.inspect import releases as look
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import ReleasesDocument
    from tidegate.cli.output import write
    from tidegate.cli.views.console import out
    from tidegate.cli.views.tables import releases_table

    async def work(workspace: Workspace) -> int:
        found = await look(workspace, component)
        if json:
            write(ReleasesDocument(tuple(found)))
        elif found:
            out().print(releases_table(found), soft_wrap=True)
        else:
            out().print("No releases yet. `tidegate up dev` makes the first.", soft_wrap=True)
        return 0

    return in_workspace(ctx, work, whole=False)
