"""`tidegate run`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace


def run(
    ctx: typer.Context,
    environment: options.Environment,
    task: options.Task,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not show what it prints; `tidegate logs` has it.")
    ] = False,
    why: options.Why = "",
    json: options.Json = False,
) -> int:
    """Run a task of an environment to its end, once, and show what it prints.

    The release that the environment pins is run, with its settings, variables and resources; `tidegate up` brings a
    newer one in. The output comes on standard output as it is printed, everything else on standard error. On Ctrl-C the
    task goes on: `tidegate logs` follows it.

    Examples:

      tidegate run dev seed

      tidegate run dev seed --why "fresh data for the demo"

      tidegate run dev seed --quiet && tidegate logs -e dev seed

    Exit status: 0 the task ended with 0, 1 it did not or could not be run, 64 wrong use.
    """
    from tidegate.app.workspace import Workspace
    from tidegate.cli.running import Running
    from tidegate.cli.views.console import err
    from tidegate.cli.views.run import show_run

    async def work(workspace: Workspace) -> int:
        await check_environment(workspace, environment)
        done = await Running(workspace, environment, task, why=why, quiet=quiet, json=json).run()
        if json:
            from tidegate.cli.documents import RunDocument
            from tidegate.cli.output import error_object, write

            failure = error_object(done.failure) if done.failure else None
            write(RunDocument(environment, task, done.name, done.status, round(done.seconds, 3), done.output, failure))
        else:
            show_run(err(), done, printed=not quiet)
        return 1 if done.failure else 0

    return in_workspace(ctx, work, whole=False)
