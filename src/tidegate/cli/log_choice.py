"""Whose logs are meant."""

from __future__ import annotations

import re

from tidegate.app.workspace import Workspace
from tidegate.cli.session import check_environment
from tidegate.errors import UsageError
from tidegate.model.address import GroupAddress

_GROUP = re.compile(r"(?P<component>.+)-r(?P<born>[0-9]+)")


async def choose_environment(workspace: Workspace, named: str | None) -> str:
    """The environment named, or the only one that is up. Raises `UsageError`."""
    if named is not None:
        await check_environment(workspace, named)
        return named
    known = {record.name for record in await workspace.store.environments()}
    names = sorted({*known, *workspace.project.environments})
    up = [name for name in names if (await workspace.target.observe(name)).groups]
    if len(up) == 1:
        return up[0]
    said = f"{', '.join(up)} are up." if up else "None is up."
    raise UsageError("cannot tell which environment", said, hint=f"Name it: -e {(up or names or ['ENV'])[0]}")


async def choose_groups(workspace: Workspace, environment: str, names: tuple[str, ...]) -> list[GroupAddress]:
    """The groups of these components that are there, and groups named as such even if they are gone.

    Raises `UsageError` for anything else.
    """
    there = sorted((await workspace.target.observe(environment)).groups)
    if not names:
        if not there:
            raise UsageError(f"cannot show logs of {environment}", "Nothing runs there.")
        return there
    chosen: list[GroupAddress] = []
    for name in names:
        own = [group for group in there if name in (group.component, group.name)]
        known = name in workspace.project.components
        if not own and not known and (match := _GROUP.fullmatch(name)):
            own = [GroupAddress(environment, match["component"], int(match["born"]))]
        if not own:
            workspace.check_components((name,))
            raise UsageError(f"cannot show logs of {name}", f"Nothing of it runs in {environment}.")
        chosen += own
    return chosen
