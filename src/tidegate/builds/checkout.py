"""One checkout: its sources, and releases of them as trees."""

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


class CheckoutReader:
    """What all builders have in common: reading the sources of the checkout at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
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

    async def sources(self, recipe: Recipe) -> Sources:
        """Those that were read last, or now if none were. Raises `ReleaseError`."""
        if recipe not in self._read:
            await self.read([recipe])
        return self._read[recipe]


class CheckoutBuilder(CheckoutReader):
    """Implements `tidegate.ports.builder.Builder`. Builds see PATH, HOME, LANG and `env`; their logs go to `logs`."""

    def __init__(
        self, root: Path, artifacts: TreeArtifacts | SharedTrees, env: Mapping[str, str], *, logs: Path
    ) -> None:
        super().__init__(root)
        self._artifacts = artifacts
        self._env = env
        self._logs = logs

    async def build(self, recipe: Recipe, release: str, on_line: Callable[[str], None]) -> Artifact:
        """See `Builder`. `release` names the sources that were read last."""
        return await self._artifacts.build(
            BuildRequest(
                component=recipe.component,
                release=release,
                root=self._root,
                sources=await self.sources(recipe),
                folder=recipe.folder,
                command=recipe.command,
                env=self._env,
                log=self._logs / f"{recipe.component}-{short(release)}.log",
                on_line=on_line,
            )
        )
