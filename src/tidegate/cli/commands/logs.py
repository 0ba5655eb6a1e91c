"""`tidegate logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace
from tidegate.errors import UsageError


def logs(
    ctx: typer.Context,
    components: options.Printing = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as new lines come, until Ctrl-C.")] = False,
    environment: options.OneEnvironment = None,
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="Last lines of each instance.")] = 100,
    json: options.Json = False,
) -> int:
    """Show what instances, tasks and resources print, each line with the name of its instance or run.

    Without -e it is the environment that is up, if there is one only. Of a task it is the last run. Instead of a
    component a resource can be named; a group, also one that is gone, such as backend-r3 of a change that was put back;
    and a run, such as a migration, by the name that `tidegate status` shows.

    Examples:

      tidegate logs -f

      tidegate logs -e dev backend -n 20

      tidegate logs -e dev backend-r3

      tidegate logs -e dev orders-db    a resource that dev runs

      tidegate logs -f -e dev seed      a task, until it has ended

    Exit status: 0 shown, 1 not possible, 64 wrong use.
    """
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import LogObject, LogsDocument
    from tidegate.cli.log_choice import choose, choose_environment
    from tidegate.cli.log_lines import lines_of
    from tidegate.cli.output import write
    from tidegate.cli.views.console import err, out
    from tidegate.cli.views.logs import LogView
    from tidegate.ports.target import LogLine

    if follow and json:
        raise UsageError("cannot follow as JSON", "--json prints one document, --follow never ends.")

    async def work(workspace: Workspace) -> int:
        chosen = await choose_environment(workspace, environment)
        choice = await choose(workspace, chosen, tuple(components or ()))
        kept: list[LogObject] = []
        view = LogView(out(), choice.components, choice.names)
        shown = False

        def show(line: LogLine) -> None:
            nonlocal shown
            shown = True
            if json:
                kept.append(LogObject(line.component, line.instance, line.text))
            else:
                view.show(line)

        await lines_of(workspace, chosen, choice, show, tail=lines, follow=follow)
        if json:
            write(LogsDocument(chosen, tuple(kept)))
        elif not shown:
            err().print(f"Nothing is kept of what {', '.join(choice.names)} printed.", soft_wrap=True)
        return 0

    try:
        return in_workspace(ctx, work, whole=False)
    except KeyboardInterrupt:
        if follow:
            return 0  # that is how one stops following
        raise
