"""`tidegate prune`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def prune(ctx: typer.Context, dry_run: options.DryRun = False, json: options.Json = False) -> int:
    """Remove artifacts that nothing runs and no recent revision pins.

    Keeps what runs in any environment, what a change under way is about to start, and the releases of each
    environment's last ten revisions. A removed one is built again when it is needed.

    Examples:

      tidegate prune --dry-run

      tidegate prune

    Exit status: 0 done or nothing to do, 1 not possible, 64 wrong use.
    """
    from tidegate.app.prune import prune as remove
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import PruneDocument
    from tidegate.cli.output import write
    from tidegate.cli.views.console import out
    from tidegate.cli.views.tables import pruned_table

    async def work(workspace: Workspace) -> int:
        removed = tuple(await remove(workspace, dry_run=dry_run))
        if json:
            write(PruneDocument(dry_run, removed))
        elif removed:
            out().print("Would be removed:" if dry_run else "Removed:")
            out().print(pruned_table(removed), soft_wrap=True)
        else:
            out().print("Nothing to remove.")
        return 0

    return in_workspace(ctx, work, whole=False)
