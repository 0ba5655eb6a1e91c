"""`tidegate logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace
from tidegate.errors import TidegateError, UsageError


def logs(
    ctx: typer.Context,
    components: options.SomeComponents = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as new lines come, until Ctrl-C.")] = False,
    environment: options.OneEnvironment = None,
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="Last lines of each instance.")] = 100,
    json: options.Json = False,
) -> int:
    """Show what instances print, each line with the name of its instance.

    Without -e it is the environment that is up, if there is one only. Instead of a component a group can be named, also
    one that is gone, such as backend-r3 of a change that was put back.

    Examples:

      tidegate logs -f

      tidegate logs -e dev backend -n 20

      tidegate logs -e dev backend-r3

    Exit status: 0 shown, 1 not possible, 64 wrong use.
    """
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import LogObject, LogsDocument
    from tidegate.cli.log_choice import choose_environment, choose_groups
    from tidegate.cli.output import write
    from tidegate.cli.views.console import err, out
    from tidegate.cli.views.logs import LogView
    from tidegate.ports.target import FollowsLogs

    if follow and json:
        raise UsageError("cannot follow as JSON", "--json prints one document, --follow never ends.")

    async def work(workspace: Workspace) -> int:
        if not isinstance(workspace.target, FollowsLogs):
            raise TidegateError("cannot show logs", "This target does not keep any.")
        chosen = await choose_environment(workspace, environment)
        groups = await choose_groups(workspace, chosen, tuple(components or ()))
        found = workspace.target.logs(chosen, groups, tail=lines, follow=follow)
        if json:
            kept = [LogObject(each.component, each.instance, each.text) async for each in found]
            write(LogsDocument(chosen, tuple(kept)))
            return 0
        view = LogView(out(), groups)
        shown = False
        async for each in found:
            view.show(each)
            shown = True
        if not shown:
            err().print(f"Nothing was printed by {', '.join(group.name for group in groups)}.", soft_wrap=True)
        return 0

    try:
        return in_workspace(ctx, work)
    except KeyboardInterrupt:
        if follow:
            return 0  # that is how one stops following
        raise
