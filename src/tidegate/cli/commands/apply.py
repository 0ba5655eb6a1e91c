"""`tidegate apply`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace, invocation


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan saved by `tidegate plan ENV --out FILE`.")],
    yes: options.Yes = False,
    why: options.Why = "",
    json: options.Json = False,
) -> int:
    """Carry out a saved plan, exactly.

    If the environment moved on since the plan was made, it is carried over to the newer revision where nobody touched
    the components of the plan and those they are wired to; otherwise it is refused, with who did, when and what. Then
    as `up`: everything together, put back if anything fails.

    Examples:

      tidegate apply .tidegate/dev.plan

      tidegate apply .tidegate/dev.plan --why "approved by the team" --yes

    Exit status: 0 done, 1 put back, not finished, stale or not possible, 64 wrong use.
    """
    from tidegate.app.change import plan_saved
    from tidegate.app.planned import Planned
    from tidegate.app.workspace import Workspace
    from tidegate.cli.changing import Changing, Manner
    from tidegate.cli.plan_file import read
    from tidegate.cli.views.progress import ProgressView

    saved = read(invocation(ctx).folder / file)

    async def work(workspace: Workspace) -> int:
        workspace.environment(saved.environment)  # only tidegate.yaml says where it is kept
        changing = Changing(workspace, Manner("apply", yes=yes, json=json, why=why), made_on=saved.parent)

        async def plan(_: ProgressView, __: str) -> Planned:
            return await plan_saved(workspace, saved)

        courses = await changing.run([saved.environment], plan)
        if json:
            from tidegate.cli.documents import ApplyDocument
            from tidegate.cli.output import write
            from tidegate.cli.results import results

            write(ApplyDocument(any(course.applied for course in courses), results(courses, changing.progress)))
        return 0 if all(course.succeeded for course in courses) else 1

    return in_workspace(ctx, work)
