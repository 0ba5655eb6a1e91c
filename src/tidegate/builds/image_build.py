"""Releases of one checkout, as images: built once by what this machine has, pushed, and pinned by their digest."""

from __future__ import annotations

import shlex
import subprocess
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from tidegate.builds.checkout import CheckoutReader
from tidegate.builds.command import end_leftovers, run_command
from tidegate.builds.copying import copy_sources
from tidegate.builds.files import delete, locked
from tidegate.builds.image_artifacts import FORMAT, RELEASE_LABEL, ImageArtifacts
from tidegate.builds.image_file import hosts_of_bases, made_dockerfile, secrets_of
from tidegate.builds.image_names import ImageName, pinned_image
from tidegate.builds.image_tools import ImageOrder, ImageTool, digest_in, find_tool
from tidegate.builds.source import Sources
from tidegate.builds.tree import not_passed, release_name
from tidegate.errors import BuildFailed, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import short
from tidegate.ports.builder import Recipe

REVISION_LABEL = "org.opencontainers.image.revision"
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY"})  # no image keeps these
PATIENCE = 5.0  # seconds in which a program that builds tidies up when it is interrupted
TREE = "tree"
DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class _Build:
    """One build under way: its sources lie in PLACE/tree; `tag` is only for pushing and never looked up."""

    recipe: Recipe
    release: str
    place: Path
    log: Path
    tool: ImageTool
    name: ImageName
    tag: str
    say: Callable[[str], None]


class ImageBuilder(CheckoutReader):
    """Implements `tidegate.ports.builder.Builder` for images.

    With a Dockerfile, the folder that it lies in is the context, in a clean copy of the sources; all of them, laid out
    as in the project, are the context `sources` (`COPY --from=sources`). Without one, the build command runs in
    /app/FOLDER of the base, as a user without rights. `env` are variables that builds may see: a Dockerfile by
    `RUN --mount=type=secret,id=NAME`, build commands as they are. Logs go to `logs`.
    """

    def __init__(self, root: Path, artifacts: ImageArtifacts, env: Mapping[str, str], *, logs: Path) -> None:
        super().__init__(root)
        self._artifacts = artifacts
        self._env = env
        self._logs = logs

    async def build(self, recipe: Recipe, release: str, on_line: Callable[[str], None]) -> Artifact:
        """See `Builder`. `release` names the sources that were read last. Raises `ArtifactsUnreachable` as well, and
        `ReleaseError` for a component that says nothing of an image."""
        name, image = recipe.component, recipe.image
        if image.ready:
            return await self._ready(recipe, release)
        if not image.dockerfile and not image.base:
            raise ReleaseError(
                f"cannot build an image of {name}",
                "It says nothing of how it becomes one.",
                hint="Put a Dockerfile beside its manifest, or write `image: {base: NAME@sha256:…}` there, or "
                "`images: {base: NAME@sha256:…}` in tidegate.yaml for all components.",
                address=name,
            )
        sources = await self.sources(recipe)
        if image.dockerfile and image.dockerfile not in {file.path for file in sources.files}:
            raise ReleaseError(
                f"cannot build an image of {name}",
                f"{image.dockerfile} is not one of its sources.",
                hint="Check `image:` and `sources:` in its manifest, and that no .gitignore names the file.",
                address=name,
            )
        place = self._artifacts.place(name, release)
        try:
            async with locked(place, lambda: on_line("waiting for another process that builds this release")):
                found = await self._artifacts.built(name, release)
                return found or await self._build(recipe, sources, release, place, on_line)
        except OSError as error:
            raise ReleaseError(
                f"cannot build an image of {name}",
                f"{error.filename or place}: {error.strerror}",
                hint="Check the space on the disk and that you may write there; `tidegate prune` makes room.",
                address=name,
            ) from error

    async def _ready(self, recipe: Recipe, release: str) -> Artifact:
        """Somebody else's image, once it is known to be there and to run at the place."""
        name, digest = pinned_image(recipe.image.ready)
        artifact = Artifact(digest, release, FORMAT, self._artifacts.platform, name.at(digest))
        ours = await self._artifacts.pushed_to(recipe.component)
        for where in (ours, name):  # what was copied once does not depend on its origin
            found = await self._artifacts.registries.configurations(where, digest)
            if found is None:
                continue
            platforms = sorted({f"{each.get('os')}/{each.get('architecture')}" for each in found})
            if artifact.platform in platforms:
                return artifact
            raise BuildFailed(
                f"cannot use the image of {recipe.component}",
                f"{artifact.location} is for {', '.join(platforms)}, not for {artifact.platform}.",
                hint="Name the digest of an image, or of an index with an image, for that platform.",
                address=recipe.component,
            )
        raise BuildFailed(
            f"cannot use the image of {recipe.component}",
            f"There is no {artifact.location}",
            hint="Check `image:` in its manifest.",
            address=recipe.component,
        )

    async def _build(
        self, recipe: Recipe, sources: Sources, release: str, place: Path, say: Callable[[str], None]
    ) -> Artifact:
        tool = await find_tool(recipe.image.tool)
        name = await self._artifacts.pushed_to(recipe.component)
        log = self._logs / f"{recipe.component}-{short(release)}-image.log"
        tag = f"{name}:{release_name(release)}-{uuid.uuid4().hex[:8]}"
        build = _Build(recipe, release, place, log, tool, name, tag, say)
        try:
            await to_thread.run_sync(_make_room, place)
            await to_thread.run_sync(copy_sources, self._root, sources, place / TREE)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"")
            revision = "" if sources.dirty else sources.commit
            return await self._run(build, await self._order(build, revision))
        finally:
            with anyio.CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(delete, place)

    async def _order(self, build: _Build, revision: str) -> ImageOrder:
        image, tree = build.recipe.image, build.place / TREE
        secrets = secrets_of(self._env)
        if image.dockerfile:
            file = tree / image.dockerfile
            context = file.parent
        else:
            folder = tree / build.recipe.folder
            if build.recipe.command and not folder.is_dir():
                raise BuildFailed(
                    f"cannot build an image of {build.recipe.component}",
                    f"Its sources have no folder {build.recipe.folder}.",
                    hint="Are all of its files ignored by version control?",
                    address=build.recipe.component,
                )
            file, context = build.place / "Dockerfile", build.place
            recipe = build.recipe
            file.write_text(
                made_dockerfile(
                    base=image.base, tree=TREE, folder=recipe.folder, command=recipe.command, secrets=secrets
                )
            )
        hosts = hosts_of_bases(file.read_text(encoding="utf-8", errors="replace"))
        return ImageOrder(
            file=file,
            context=context,
            sources=tree,
            tag=build.tag,
            platform=self._artifacts.platform,
            labels={RELEASE_LABEL: build.release} | ({REVISION_LABEL: revision} if revision else {}),
            secrets=secrets,
            arguments=sorted(name for name in self._env if name.upper() in PROXIES),
            # It can be said for all of them only.
            plain=bool(hosts) and all([await self._artifacts.registries.plain(host) for host in hosts]),
            fresh=bool(image.dockerfile),
        )

    async def _run(self, build: _Build, order: ImageOrder) -> Artifact:
        digest_file = build.place / DIGEST
        await self._command(build, build.tool.build(order), "building it", hint=not_passed(self._env))
        try:
            plain = await self._artifacts.registries.plain(build.name.host)
            push = build.tool.push(build.tag, digest_file, plain=plain)
            await self._command(
                build, push, "pushing it", hint=f"\nIs somebody logged in? docker login {build.name.host}"
            )
        finally:
            with anyio.CancelScope(shield=True), suppress(OSError):
                await self._forget(build)
        digest = digest_in(digest_file.read_text(), build.name.repository)
        if not digest or not await self._artifacts.registries.has(build.name, digest):
            raise BuildFailed(
                f"cannot build an image of {build.recipe.component}",
                f"{build.tool.name} pushed it, but {build.name} does not have it.",
                hint=f"The whole log: {build.log}",
                address=build.recipe.component,
            )
        artifact = Artifact(digest, build.release, FORMAT, order.platform, build.name.at(digest))
        await self._artifacts.remember(build.recipe.component, artifact)
        return artifact

    async def _command(self, build: _Build, command: str, what: str, *, hint: str) -> None:
        status, last = await run_command(
            command,
            folder=build.place,
            env=build.tool.environment(self._env),
            log=build.log,
            on_line=build.say,
            patience=PATIENCE,
        )
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise BuildFailed(
                f"cannot build an image of {build.recipe.component}",
                "\n".join([f"{build.tool.name}, {what}, ended with {how}.", *(f"  | {line}" for line in last)]),
                hint=f"The whole log: {build.log}{hint}",
                address=build.recipe.component,
            )

    async def _forget(self, build: _Build) -> None:
        """The registry has it; here it would only take room."""
        await anyio.run_process(
            shlex.split(build.tool.forget(build.tag)),
            env=build.tool.environment(self._env),
            stdin=subprocess.DEVNULL,
            check=False,
        )


def _make_room(place: Path) -> None:
    """Delete what an interrupted build left. Raises `OSError`."""
    if place.exists():
        end_leftovers(place)
        delete(place)
    place.mkdir(parents=True)
