"""`tidegate release`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def release(ctx: typer.Context, components: options.SomeComponents = None, json: options.Json = False) -> int:
    """Make releases of this checkout: name them by their inputs, build those that were not built yet.

    `up` does this by itself; alone it is of use before a change, or in CI. A release is built once. Uncommitted sources
    make a release that is marked as dirty and never leaves the first environment.

    Examples:

      tidegate release

      tidegate release backend frontend

    Exit status: 0 all made, 1 a build failed, 64 wrong use.
    """
    from tidegate.app.release import make_releases, name_releases, where_releases_enter
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import ReleasedObject, ReleaseDocument
    from tidegate.cli.interruption import Interruption
    from tidegate.cli.output import write
    from tidegate.cli.views.console import err, out
    from tidegate.cli.views.progress import ProgressView
    from tidegate.cli.views.tables import released_table
    from tidegate.errors import TidegateError

    async def work(opened: Workspace) -> int:
        workspace = where_releases_enter(opened)
        made = None
        with (
            ProgressView(err()) as progress,
            Interruption(progress.say, progress.close) as interruption,
            interruption.scope,
        ):
            named = await name_releases(workspace, components or ())
            made = await make_releases(workspace, named, progress.build)
        if made is None:
            raise TidegateError("cannot go on: stopped", "Nothing is left of the builds that were not done.")
        if json:
            objects = [
                ReleasedObject(
                    name,
                    each.release.digest.removeprefix("sha256:")[:10],
                    each.release.digest,
                    each.release.commit,
                    each.release.dirty,
                    each.built,
                    round(each.seconds, 3),
                )
                for name, each in made.items()
            ]
            write(ReleaseDocument(tuple(objects)))
        else:
            out().print(released_table(tuple(made.values())), soft_wrap=True)
        return 0

    return in_workspace(ctx, work)
