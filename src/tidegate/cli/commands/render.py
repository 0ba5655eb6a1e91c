"""`tidegate render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace, invocation


def render(
    ctx: typer.Context,
    environment: options.Environment,
    only: options.Only = None,
    with_needs: options.WithNeeds = False,
    remove: options.Remove = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write one file for each object, and remove those of former calls."),
    ] = None,
    json: options.Json = False,
) -> int:
    """Print the objects that an environment on Kubernetes would consist of after `up`, as YAML.

    For reviewers, `kubectl diff` and GitOps. Makes the releases that this checkout says and pushes their images, since
    objects name them by what they are made of; changes nothing in the cluster. Values of secrets are in none of them.

    Examples:

      tidegate render stage

      tidegate render stage | kubectl diff --server-side --field-manager tidegate --force-conflicts -f -

      tidegate render prod --out deploy/prod   one file for each object

    Exit status: 0 rendered, 1 not possible, 64 wrong use.
    """
    import sys

    from tidegate.app.change import Selection
    from tidegate.app.rendering import render as render_environment
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import RenderDocument
    from tidegate.cli.output import write
    from tidegate.cli.rendered import as_yaml, write_folder
    from tidegate.cli.views.console import clean, err, out
    from tidegate.cli.views.progress import ProgressView

    selection = Selection(tuple(only or ()), with_needs, tuple(remove or ()))
    folder = (invocation(ctx).folder / out_folder).resolve() if out_folder else None

    async def work(workspace: Workspace) -> int:
        with ProgressView(err()) as progress:
            objects = await render_environment(workspace, environment, selection, build=progress.build)
        written, removed = write_folder(objects, folder, environment) if folder else ([], [])
        if json:
            write(RenderDocument(environment, tuple(map(dict, objects)), tuple(written), tuple(removed)))
        elif folder:
            gone = f", removed {len(removed)} of former calls" if removed else ""
            out().print(clean(f"Wrote {len(written)} files to {out_folder}{gone}."), soft_wrap=True)
        else:
            sys.stdout.write(as_yaml(objects))
        return 0

    return in_workspace(ctx, work)
