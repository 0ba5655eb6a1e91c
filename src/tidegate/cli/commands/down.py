"""`tidegate down`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace
from tidegate.errors import UsageError


def down(
    ctx: typer.Context,
    environments: options.EnvironmentsToTakeDown = None,
    all_: Annotated[bool, typer.Option("--all", help="Every environment that has anything.")] = False,
    yes: options.Yes = False,
    why: options.Why = "",
    json: options.Json = False,
) -> int:
    """Take environments down: everything in them is drained, stopped and removed.

    History and releases stay, so `tidegate up` brings the same back. Asks first; without a terminal it needs --yes.

    Examples:

      tidegate down dev

      tidegate down dev stage --yes

      tidegate down --all --yes       nothing is left running

    Exit status: 0 done or nothing to do, 1 not possible or not confirmed, 64 wrong use.
    """
    from tidegate.app.change import plan_down
    from tidegate.app.inspect import status
    from tidegate.app.planned import Planned
    from tidegate.app.workspace import Workspace
    from tidegate.cli.changing import Changing, Manner
    from tidegate.cli.views.progress import ProgressView

    if bool(environments) == all_:
        raise UsageError(
            "cannot tell what to take down",
            "Name environments, or say --all, not both.",
            hint="tidegate down dev, or tidegate down --all",
        )

    async def work(workspace: Workspace) -> int:
        known = {found.environment: found for found in await status(workspace)}
        touched = {record.name for record in await workspace.store.environments()}  # also by a first `up` that failed
        up = [name for name, found in known.items() if name in touched or found.components or found.problem]
        names = list(dict.fromkeys(environments or up))
        for name in names:
            await check_environment(workspace, name)
        changing = Changing(
            workspace,
            Manner(f"take {', '.join(names)} down", yes=yes, json=json, always_ask=True, forget=True, why=why),
        )

        async def plan(_: ProgressView, environment: str) -> Planned:
            return await plan_down(workspace, environment)

        courses = await changing.run(names, plan)
        if json:
            from tidegate.cli.documents import DownDocument
            from tidegate.cli.output import write
            from tidegate.cli.results import results

            write(DownDocument(any(course.applied for course in courses), results(courses, changing.progress)))
        return 0 if all(course.succeeded for course in courses) else 1

    return in_workspace(ctx, work)
