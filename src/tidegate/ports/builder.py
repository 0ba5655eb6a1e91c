"""Builders: from sources to artifacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.model.component import NO_IMAGE, Artifact, ImageRecipe


@dataclass(frozen=True, slots=True)
class SourceState:
    """The inputs of one component, named by their digest. `commit` "" and `dirty` where there is no commit."""

    digest: str
    commit: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a build needs: `paths` that make up the inputs and `exclude` among them (relative to the root of the
    checkout, forward slashes), `folder` where `command` runs ("" command: the sources are the artifact), `image` how
    it becomes an image."""

    component: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    folder: str
    command: str
    image: ImageRecipe = NO_IMAGE


class Builder(Protocol):
    """Reads the sources of a checkout and builds releases of them, once each."""

    async def read(self, recipes: Sequence[Recipe]) -> Mapping[str, SourceState]:
        """The state of the sources of each component. Raises `ReleaseError`."""
        ...

    async def counts(self, recipe: Recipe, file: Path) -> bool:
        """Whether a file written to this place (absolute, without links) would be one of the inputs."""
        ...

    async def build(self, recipe: Recipe, release: str, on_line: Callable[[str], None]) -> Artifact:
        """Build a release at the place where it will run, or find it built; `on_line` gets what the build prints.

        The format of the artifact is the builder's: a tree, or an image that is pushed to the registry of the place.
        Raises `BuildFailed`; then nothing is left but the log.
        """
        ...
