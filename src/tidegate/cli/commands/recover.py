"""`tidegate recover`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace


def recover(ctx: typer.Context, environment: options.Environment, json: options.Json = False) -> int:
    """Put an environment in order after a command vanished in the middle, or could not undo.

    What was not committed is put back, what was committed is finished. Refused while the other command still lives.
    The next `up` or `down` does the same by itself, but for changes that are unsettled: those only by hand, with this
    command, or with `resume`, `undo`, `abandon`, which let you choose the direction.

    Examples:

      tidegate recover dev

    Exit status: 0 in order, 1 not possible, 64 wrong use.
    """
    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.settling import recover_environment
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import RecoverDocument
    from tidegate.cli.settling import Names, Telling, settle_and_tell
    from tidegate.execution.progress import Reporter

    def line(names: Names, _: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} put in order." if names else f"{environment}: nothing to recover."

    async def work(workspace: Workspace) -> int:
        await check_environment(workspace, environment)

        async def act(report: Reporter) -> Names:
            return await recover_environment(workspace, environment, report, by_hand=True)

        return await settle_and_tell(workspace, environment, act, Telling(line, RecoverDocument, json))

    return in_workspace(ctx, work, whole=False)
