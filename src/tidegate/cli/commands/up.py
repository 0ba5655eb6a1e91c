"""`tidegate up`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def up(
    ctx: typer.Context,
    environments: options.Environments,
    only: options.Only = None,
    with_needs: options.WithNeeds = False,
    remove: options.Remove = None,
    yes: options.Yes = False,
    why: options.Why = "",
    dry_run: options.DryRun = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the whole plan, as `plan` does.")] = False,
    json: options.Json = False,
) -> int:
    """Release what changed and bring environments to it.

    Makes the releases that this checkout says, starts what differs beside what runs, switches all of it at once,
    watches it for a while and removes the old. If anything fails, or on Ctrl-C, everything is put back. Components that
    this checkout does not have are left alone. Running it again when nothing differs does nothing. Where a former
    change is unsettled, everything that it does not touch goes on; the rest says how to settle it.

    Asks only where something goes away (--remove); without a terminal that needs --yes.

    Examples:

      tidegate up dev                                everything of this checkout

      tidegate up dev stage --why "new prices"       two environments side by side

      tidegate up dev --only frontend --with-needs   one component and what it needs

    Exit status: 0 done or nothing to do, 1 put back, not finished or not possible, 64 wrong use.
    """
    from dataclasses import replace

    from tidegate.app.beside import untouched
    from tidegate.app.change import Selection, plan_up
    from tidegate.app.planned import Planned
    from tidegate.app.workspace import Workspace
    from tidegate.cli.changing import Changing, Manner
    from tidegate.cli.views.progress import ProgressView
    from tidegate.errors import RunInterrupted

    selection = Selection(tuple(only or ()), with_needs, tuple(remove or ()))

    async def work(workspace: Workspace) -> int:
        for name in environments:
            workspace.environment(name)
        manner = Manner("apply", yes=yes, json=json, dry_run=dry_run, full=verbose, beside=True, why=why)
        changing = Changing(workspace, manner, only=selection.only)

        async def plan(progress: ProgressView, environment: str) -> Planned:
            build = None if dry_run else progress.build
            try:
                return await plan_up(workspace, environment, selection, build=build)
            except RunInterrupted as error:
                others = await untouched(workspace, environment)
                if selection.only or not others:
                    raise
                changing.held_up[environment] = error
                return await plan_up(workspace, environment, replace(selection, only=others), build=build)

        courses = await changing.run(list(dict.fromkeys(environments)), plan)
        if json:
            from tidegate.cli.documents import UpDocument
            from tidegate.cli.output import write
            from tidegate.cli.results import results

            write(UpDocument(any(course.applied for course in courses), results(courses, changing.progress)))
        return 0 if all(course.succeeded for course in courses) else 1

    return in_workspace(ctx, work)
