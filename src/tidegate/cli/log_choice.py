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
from tidegate.model.pins import Resource

_GROUP = re.compile(r"(?P<component>.+)-r(?P<born>[0-9]+)")
_RUN = re.compile(r"(?P<component>.+)-(?:before|after)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """Groups, whose instances print, commands that run or ran to their end, and resources."""

    groups: tuple[GroupAddress, ...] = ()
    runs: tuple[RunAddress, ...] = ()
    resources: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What each of them is called."""
        return (*(group.name for group in self.groups), *(run.name for run in self.runs), *self.resources)

    @property
    def components(self) -> tuple[str, ...]:
        """Whose they are."""
        return (*(group.component for group in self.groups), *(run.component for run in self.runs), *self.resources)


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
    """The groups of these components that are there, the last run of each task, resources; all groups without a name.

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
    resources: list[str] = []
    for name in names:
        if name in observed.resources or _is_resource(workspace, environment, name):
            resources.append(name)
            continue
        own = _groups(workspace, observed, name)
        ran = [] if own else await _runs(workspace, observed, name)
        if not own and not ran:
            raise _nothing(workspace, environment, name)
        groups += own
        runs += ran
    return Choice(tuple(groups), tuple(runs), tuple(resources))


def _nothing(workspace: Workspace, environment: str, name: str) -> UsageError:
    """Why there is no log of this name, and what was probably meant."""
    what = f"cannot show logs of {name}"
    if name in workspace.project.resources:
        return UsageError(what, f"It lies elsewhere: {environment} has its URL, and does not run it.")
    if name in workspace.project.environments and name not in workspace.project.components:
        return UsageError(what, "It is an environment.", hint=f"Did you mean tidegate logs -e {name}?")
    workspace.check_components((name,))
    return UsageError(
        what,
        f"Nothing of it runs in {environment}.",
        hint=f"What is gone has a number: tidegate logs -e {environment} {name}-rN, as the screen of its change said.",
    )


def _is_resource(workspace: Workspace, environment: str, name: str) -> bool:
    spec = workspace.project.environments.get(environment)
    resources = workspace.project.resources
    return spec is not None and name in resources and isinstance(resources[name].at(spec.lineage), Resource)


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
