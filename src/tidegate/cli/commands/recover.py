"""`tidegate recover`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace


def recover(ctx: typer.Context, environment: options.Environment, json: options.Json = False) -> int:
    """Put an environment in order after a command vanished in the middle, or could not undo.

    What was not committed is put back, what was committed is finished. Refused while the other command still lives.
    The next `up` or `down` does the same by itself.

    Examples:

      tidegate recover dev

    Exit status: 0 in order, 1 not possible, 64 wrong use.
    """
    from tidegate.app.settling import recover_environment
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import RecoverDocument
    from tidegate.cli.output import write
    from tidegate.cli.views.console import err, out
    from tidegate.cli.views.progress import ProgressView

    async def work(workspace: Workspace) -> int:
        await check_environment(workspace, environment)
        with ProgressView(err()) as progress:
            settled = tuple(await recover_environment(workspace, environment, progress.step, by_hand=True))
        if json:
            write(RecoverDocument(environment, settled))
        elif settled:
            out().print(f"{environment}: {', '.join(settled)} put in order.", soft_wrap=True)
        else:
            out().print(f"{environment}: nothing to recover.", soft_wrap=True)
        return 0

    return in_workspace(ctx, work)
