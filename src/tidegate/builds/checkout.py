"""Releases of one checkout, as trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from anyio import to_thread

from tidegate.builds.shared import SharedTrees
from tidegate.builds.source import Sources, read_many, would_count
from tidegate.builds.tree import BuildRequest, TreeArtifacts
from tidegate.model.component import Artifact
from tidegate.model.digest import short
from tidegate.ports.builder import Recipe, SourceState


class CheckoutBuilder:
    """Implements `tidegate.ports.builder.Builder`. Builds see PATH, HOME, LANG and `env`; their logs go to `logs`."""

    def __init__(
        self, root: Path, artifacts: TreeArtifacts | SharedTrees, env: Mapping[str, str], *, logs: Path
    ) -> None:
        self._root = root
        self._artifacts = artifacts
        self._env = env
        self._logs = logs
        self._read: dict[Recipe, Sources] = {}

    async def read(self, recipes: Sequence[Recipe]) -> Mapping[str, SourceState]:
        """See `Builder`."""
        parts = {recipe.component: (recipe.paths, recipe.exclude) for recipe in recipes}
        found = await to_thread.run_sync(read_many, self._root, parts)
        # Kept for `build`: what is built has to be what was named, even if somebody edits in between.
        self._read.update({recipe: found[recipe.component] for recipe in recipes})
        return {name: SourceState(sources.digest, sources.commit, sources.dirty) for name, sources in found.items()}

    async def counts(self, recipe: Recipe, file: Path) -> bool:
        """See `Builder`."""
        return await to_thread.run_sync(would_count, self._root.resolve(), file, recipe.paths, recipe.exclude)

    async def build(self, recipe: Recipe, release: str, on_line: Callable[[str], None]) -> Artifact:
        """See `Builder`. `release` names the sources that were read last."""
        if recipe not in self._read:
            await self.read([recipe])
        return await self._artifacts.build(
            BuildRequest(
                component=recipe.component,
                release=release,
                root=self._root,
                sources=self._read[recipe],
                folder=recipe.folder,
                command=recipe.command,
                env=self._env,
                log=self._logs / f"{recipe.component}-{short(release)}.log",
                on_line=on_line,
            )
        )
