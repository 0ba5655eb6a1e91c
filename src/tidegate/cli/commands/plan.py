"""`tidegate plan`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace, invocation


def plan(
    ctx: typer.Context,
    environment: options.Environment,
    only: options.Only = None,
    with_needs: options.WithNeeds = False,
    remove: options.Remove = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Make the releases and save the plan, for `tidegate apply`."),
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there is something to do.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Show what `up` would do, and why: change by change, step by step.

    Shows what differs in releases, settings and shape, how many processes run at the worst moment, and what cannot be
    undone. Secrets appear as references only. Writes nothing, unless --out is given and there is something to do.

    Examples:

      tidegate plan dev

      tidegate plan dev --out .tidegate/dev.plan   then: tidegate apply .tidegate/dev.plan

      tidegate plan dev --detailed-exitcode        in scripts: 0 nothing to do, 2 something to do

    Exit status: 0 planned, 1 not possible, 2 something to do (with --detailed-exitcode), 64 wrong use.
    """
    from tidegate.app.change import Selection, plan_up
    from tidegate.app.explain import explain, past_of
    from tidegate.app.release import refuse_as_source
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import PlanDocument
    from tidegate.cli.output import write
    from tidegate.cli.plan_file import save
    from tidegate.cli.views.console import err, out
    from tidegate.cli.views.plan import show_plan
    from tidegate.cli.views.progress import ProgressView

    selection = Selection(tuple(only or ()), with_needs, tuple(remove or ()))
    folder = invocation(ctx).folder
    file = (folder / out_file).resolve() if out_file else None

    async def work(workspace: Workspace) -> int:
        if file:
            await refuse_as_source(workspace, file, _better(workspace.project.root, folder, file.name))
        with ProgressView(err()) as progress:
            planned = await plan_up(workspace, environment, selection, build=progress.build if file else None)
        view = explain(planned, await past_of(planned, workspace.at(environment).store))
        saved = file if view.changes else None
        if saved:
            save(planned.plan, saved)
        if json:
            write(PlanDocument(view, str(saved) if saved else None))
        else:
            show_plan(out(), view, full=True)
            if saved:
                out().print(f"\nSaved. Next: tidegate apply {out_file}", soft_wrap=True)
            elif file:
                out().print(f"There is nothing to apply: {out_file} was not written.", soft_wrap=True)
        return 2 if detailed_exitcode and view.changes else 0

    return in_workspace(ctx, work)


def _better(root: Path, folder: Path, name: str) -> str:
    """Where a plan is no source, as seen from the folder of the command."""
    return os.path.relpath(root / ".tidegate" / name, folder)
