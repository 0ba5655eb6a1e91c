"""`tidegate down`."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace, touched_environments
from tidegate.errors import UsageError


def down(
    ctx: typer.Context,
    environments: options.EnvironmentsToTakeDown = None,
    all_: Annotated[bool, typer.Option("--all", help="Every environment that has anything.")] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Destroy data folders too, and what is known of migrations and tasks.")
    ] = False,
    yes: options.Yes = False,
    why: options.Why = "",
    json: options.Json = False,
) -> int:
    """Take environments down: everything in them is drained, stopped and removed.

    History, releases and data stay, so `tidegate up` brings the same back. With --data the folders of components and
    resources that have data are destroyed as well, for ever. Asks first; without a terminal it needs --yes.

    Examples:

      tidegate down dev

      tidegate down dev stage --yes

      tidegate down --all --yes       nothing is left running

      tidegate down dev --data        and nothing of its data is left

    Exit status: 0 done or nothing to do, 1 not finished, not possible or not confirmed, 64 wrong use.
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
        names = list(dict.fromkeys(environments or ()))
        if all_:
            known = await status(workspace)
            touched = await touched_environments(workspace)  # also by a first `up` that failed
            names = [one.environment for one in known if one.environment in touched or one.components or one.problem]
        for name in names:
            await check_environment(workspace, name)
        what = f"take {', '.join(names)} down{' and destroy the data' if data else ''}"
        manner = Manner(what, yes=yes, json=json, always_ask=True, forget=True, data=data, why=why)
        changing = Changing(workspace, manner)

        async def plan(_: ProgressView, environment: str) -> Planned:
            return await plan_down(workspace, environment)

        courses = await changing.run(names, plan)
        if json:
            from tidegate.cli.documents import DownDocument
            from tidegate.cli.output import write
            from tidegate.cli.results import results

            write(DownDocument(any(course.applied for course in courses), results(courses, changing.progress)))
        return 0 if all(course.succeeded for course in courses) else 1

    return in_workspace(ctx, work, whole=False)
