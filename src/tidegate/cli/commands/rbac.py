"""`tidegate rbac`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import in_workspace


def rbac(ctx: typer.Context, environment: options.Environment, json: options.Json = False) -> int:
    """Print the least permissions that Tidegate needs in an environment on Kubernetes, as YAML.

    Whoever administers the cluster reads and applies them: the ServiceAccount `tidegate` of the namespace gets them,
    and in its place a person or a group can be named. Changes nothing.

    Examples:

      tidegate rbac prod

      tidegate rbac prod | kubectl apply -f -   as an administrator

    Exit status: 0 printed, 1 not possible, 64 wrong use.
    """
    import sys

    from tidegate.app.rendering import permissions
    from tidegate.app.workspace import Workspace
    from tidegate.cli.documents import RbacDocument
    from tidegate.cli.output import write
    from tidegate.cli.rendered import as_yaml

    async def work(workspace: Workspace) -> int:
        objects = await permissions(workspace, environment)
        if json:
            write(RbacDocument(environment, tuple(map(dict, objects))))
        else:
            sys.stdout.write(as_yaml(objects))
        return 0

    return in_workspace(ctx, work)
