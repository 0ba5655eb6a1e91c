"""Everything that one command works with, put together by the composition."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tidegate.errors import UsageError
from tidegate.manifest import EnvironmentSpec, Project
from tidegate.ports.artifacts import Artifacts
from tidegate.ports.builder import Builder
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.ports.target import Target


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project with its store and target. `holder` names this process in claims, `actor` the person.

    `vanished` tells of the holder of a claim whether it is known to be gone.
    """

    project: Project
    store: Store
    target: Target
    artifacts: Artifacts
    builder: Builder
    clock: Clock
    holder: str
    actor: str
    vanished: Callable[[str], bool]

    def at(self, environment: str) -> Workspace:  # noqa: ARG002 - environments with a store of their own come with it
        """The workspace with the store, artifacts and target of an environment."""
        return self

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
