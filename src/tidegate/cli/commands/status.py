"""`tidegate status`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace
from tidegate.errors import UsageError

REFRESH = 1.0  # seconds


def status(
    ctx: typer.Context,
    environments: options.SomeEnvironments = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until Ctrl-C.")] = False,
    json: options.Json = False,
) -> int:
    """Show what runs where: state, release, healthy instances and address of every component.

    States: running; degraded (some instances are not healthy); crash-looping; moving (a change is under way); unsettled
    (a change could neither be finished nor be undone: each of its steps, and the ways out, are shown); absent (pinned,
    and nothing runs); unpinned (runs, and nothing pins it); ready (a task). Below them: resources that run here, the
    last run of each task, and migrations that did not end well. Changes nothing.

    Examples:

      tidegate status

      tidegate status dev --watch

      tidegate status --json | jq '.environments[].components[].url'

    Exit status: 0 shown, 1 an environment cannot be seen, 64 wrong use.
    """
    import anyio
    from rich.console import Group
    from rich.live import Live

    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.inspect import status as look
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import StatusDocument
    from tidegate.cli.output import write
    from tidegate.cli.views.console import out
    from tidegate.cli.views.tables import environment_lines

    if watch and json:
        raise UsageError("cannot watch as JSON", "--json prints one document, --watch never ends.")

    def shown(found: list[EnvironmentStatus]) -> Group:
        return Group(*(line for each in found for line in environment_lines(each)))

    async def work(workspace: Workspace) -> int:
        names = tuple(environments or ())
        for name in names:
            await check_environment(workspace, name)
        found = await look(workspace, names)
        if json:
            write(StatusDocument(tuple(found)))
        elif watch:
            with Live(shown(found), console=out(), auto_refresh=False) as live:
                while True:
                    await anyio.sleep(REFRESH)
                    live.update(shown(await look(workspace, names)), refresh=True)
        else:
            out().print(shown(found), soft_wrap=True)
        return 1 if any(each.problem for each in found) else 0

    try:
        return in_workspace(ctx, work, whole=False)
    except KeyboardInterrupt:
        if watch:
            return 0  # that is how one stops watching
        raise
