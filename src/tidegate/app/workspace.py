"""Everything that one command works with, put together by the composition."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tidegate.errors import UsageError
from tidegate.manifest import EnvironmentSpec, Project
from tidegate.manifest.models import TargetSpec
from tidegate.model.pins import Value
from tidegate.ports.artifacts import Artifacts
from tidegate.ports.builder import Builder
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.ports.target import Target

Kept = tuple[Value | None, Value | None, TargetSpec]  # store, artifacts and target, as tidegate.yaml writes them


@dataclass(frozen=True, slots=True)
class Parts:
    """What an environment is kept in, and where it lives. `shared`: others may use the same store; else it is this
    checkout's own."""

    store: Store
    target: Target
    artifacts: Artifacts
    builder: Builder
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project with its store and target. `holder` names this process in claims, `actor` the person.

    `vanished` tells of the holder of a claim whether it is known to be gone. `parts` are opened when they are asked for
    first, which raises `StoreError`, `SecretError`, `ReleaseError`.

    Environments may have a store, artifacts and a target of their own: `at` gives the workspace of one of them. `kept`
    is what tidegate.yaml says of these for this workspace, and `elsewhere` opens another.
    """

    project: Project
    clock: Clock
    holder: str
    actor: str
    vanished: Callable[[str], bool]
    parts: Callable[[], Parts]
    kept: Kept
    elsewhere: Callable[[Kept], Workspace]

    @property
    def store(self) -> Store:
        """Where revisions, releases and the journal are."""
        return self.parts().store

    @property
    def target(self) -> Target:
        """Where environments live."""
        return self.parts().target

    @property
    def artifacts(self) -> Artifacts:
        """Where releases lie, built."""
        return self.parts().artifacts

    @property
    def builder(self) -> Builder:
        """What builds this checkout's releases."""
        return self.parts().builder

    @property
    def shared(self) -> bool:
        """Whether others may use the same store."""
        return self.parts().shared

    def at(self, environment: str) -> Workspace:
        """The workspace of one environment: this one, unless tidegate.yaml gives it something else."""
        spec = self.project.environments.get(environment)
        if spec is None:
            return self
        kept = (spec.store or self.project.store, spec.artifacts or self.project.artifacts, spec.target)
        return self if kept == self.kept else self.elsewhere(kept)

    def everywhere(self) -> tuple[Workspace, ...]:
        """The workspaces of all environments, each once; this one, where forgotten environments may be, first."""
        found = [self]
        for name in self.project.environments:
            other = self.at(name)
            if all(other is not one for one in found):
                found.append(other)
        return tuple(found)

    def environment(self, name: str) -> EnvironmentSpec:
        """The environment of this name. Raises `UsageError`, with what was probably meant."""
        known = self.project.environments
        if name in known:
            return known[name]
        raise UsageError(
            f"cannot find environment {name}",
            f"tidegate.yaml has {', '.join(known) or 'no environments'}.",
            hint=_meant(name, known),
        )

    def check_components(self, names: tuple[str, ...]) -> None:
        """Raises `UsageError` if the checkout lacks one of them, with what was probably meant."""
        known = self.project.components
        for name in names:
            if name not in known:
                raise UsageError(
                    f"cannot find component {name}",
                    f"This checkout has {', '.join(known) or 'no components'}.",
                    hint=_meant(name, known),
                )


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]}?" if close else ""
