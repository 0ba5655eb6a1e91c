"""Whose logs are meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidegate.app.workspace import Workspace
from tidegate.cli.session import check_environment, touched_environments
from tidegate.errors import UsageError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import RunKind
from tidegate.model.observed import Observed

_GROUP = re.compile(r"(?P<component>.+)-r(?P<born>[0-9]+)")
_RUN = re.compile(r"(?P<component>.+)-(?:before|after)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """Groups, whose instances print, and commands that run or ran to their end."""

    groups: tuple[GroupAddress, ...] = ()
    runs: tuple[RunAddress, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What each of them is called."""
        return (*(group.name for group in self.groups), *(run.name for run in self.runs))


async def choose_environment(workspace: Workspace, named: str | None) -> str:
    """The environment named, or the only one that is up. Raises `UsageError`."""
    if named is not None:
        await check_environment(workspace, named)
        return named
    names = sorted({*await touched_environments(workspace), *workspace.project.environments})
    up = [name for name in names if (await workspace.at(name).target.observe(name)).groups]
    if len(up) == 1:
        return up[0]
    said = f"{', '.join(up)} are up." if up else "None is up."
    raise UsageError("cannot tell which environment", said, hint=f"Name it: -e {(up or names or ['ENV'])[0]}")


async def choose(workspace: Workspace, environment: str, names: tuple[str, ...]) -> Choice:
    """The groups of these components that are there, or the last run of each task; all groups without a name.

    Groups and runs can be named as such, also when they are gone. Raises `UsageError` for anything else.
    """
    workspace = workspace.at(environment)
    observed = await workspace.target.observe(environment)
    if not names:
        if not observed.groups:
            raise UsageError(f"cannot show logs of {environment}", "Nothing runs there.")
        return Choice(tuple(sorted(observed.groups)))
    groups: list[GroupAddress] = []
    runs: list[RunAddress] = []
    for name in names:
        own = _groups(workspace, observed, name)
        ran = [] if own else await _runs(workspace, observed, name)
        if not own and not ran:
            workspace.check_components((name,))
            raise UsageError(f"cannot show logs of {name}", f"Nothing of it runs or ran in {environment}.")
        groups += own
        runs += ran
    return Choice(tuple(groups), tuple(runs))


def _groups(workspace: Workspace, observed: Observed, name: str) -> list[GroupAddress]:
    own = [group for group in sorted(observed.groups) if name in (group.component, group.name)]
    if not own and name not in workspace.project.components and (match := _GROUP.fullmatch(name)):
        own = [GroupAddress(observed.environment, match["component"], int(match["born"]))]
    return own


async def _runs(workspace: Workspace, observed: Observed, name: str) -> list[RunAddress]:
    """The run of this name, or the last of the task of this name; a migration also when it was taken back."""
    known = sorted(observed.runs, key=lambda run: run.turn)
    own = [run for run in known if run.name == name or (run.component == name and run.what is RunKind.TASK)]
    if not own and (match := _RUN.fullmatch(name)):
        own = [
            run
            for release in await workspace.store.releases(match["component"])
            for what in (RunKind.BEFORE, RunKind.AFTER)
            if (run := RunAddress(observed.environment, release.component, release.digest, what)).name == name
        ]
    return own[-1:]
