"""Artifacts as trees of files on this machine, built at the place where they will run (virtual environments hold
absolute paths).

    FOLDER/COMPONENT/RELEASE/        see `place`
    FOLDER/COMPONENT/RELEASE.lock    held while it is built, fetched or removed
    FOLDER/uses/                     see `uses`

A damaged artifact is refused, loses its marker, and so is built again by the next that asks for it. Its folder is
moved aside then, not deleted: instances that still run from it keep their files.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from tidegate.builds.command import bare_environment, run_command
from tidegate.builds.copying import copy_sources
from tidegate.builds.files import delete, locked
from tidegate.builds.place import FORMAT, MARKER, MISSING, TREE, clear, complete, damage, held, make_room
from tidegate.builds.source import Sources
from tidegate.builds.uses import Uses
from tidegate.errors import ArtifactDamaged, BuildFailed, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import short
from tidegate.model.network import network_variables


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What is built: `sources` of `root`, by `command` (several lines may be; "" for none) run in `folder`, which is
    relative to the root. `release` is the digest that names it. The command sees PATH, HOME, LANG and `env`."""

    component: str
    release: str
    root: Path
    sources: Sources
    folder: str
    command: str
    env: Mapping[str, str]
    log: Path
    on_line: Callable[[str], None] | None = None


def this_platform() -> str:
    """Operating system and machine, such as `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine().lower()}"


class TreeArtifacts:
    """Implements `tidegate.ports.artifacts.Artifacts` for trees below `folder`, and builds them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._uses = Uses(self._folder / "uses")

    def close(self) -> None:
        """What was said to be in use no longer is."""
        self._uses.close()

    @property
    def shares(self) -> bool:
        """See `Artifacts`."""
        return False

    async def build(self, request: BuildRequest) -> Artifact:
        """Build, or find built here; when another process builds the same release, wait for it and use what it made.

        Raises `BuildFailed` if the command fails, `ReleaseError` if files cannot be read or written or changed since
        their digest was taken. Then, and when cancelled, nothing is left but the log.
        """
        place = self.place(request.component, request.release)
        say = request.on_line or _say_nothing
        try:
            async with locked(place, lambda: say("waiting for another process that builds this release")):
                found = await to_thread.run_sync(held, place)
                return found or await self._build(request, place, say)
        except OSError as error:
            raise ReleaseError(
                f"cannot build {request.component}",
                f"{error.filename or self._folder}: {error.strerror}",
                hint="Check the space on the disk and that you may write there; `tidegate prune` makes room.",
                address=request.component,
            ) from error

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        """See `Artifacts`."""
        fitting = (each for each in artifacts if each.format == FORMAT and each.platform == this_platform())
        return next(fitting, None)

    def reaches(self, artifact: Artifact) -> bool:
        """See `Artifacts`."""
        return Path(artifact.location).parent.parent.parent == self._folder

    async def available(self, artifact: Artifact) -> bool:
        """See `Artifacts`."""
        return await to_thread.run_sync(held, Path(artifact.location).parent) == artifact

    async def verify(self, artifact: Artifact) -> Path:
        """See `Artifacts`. Files that came later are no damage; a changed mode of a file is."""
        tree = Path(artifact.location)
        said = await to_thread.run_sync(damage, tree.parent, artifact)
        if not said:
            return tree
        name = tree.parent.parent.name
        if said == [MISSING] and not self.reaches(artifact):
            raise lies_elsewhere(name, artifact)
        more = f"\n… and {len(said) - 3} more" if len(said) > 3 else ""
        raise ArtifactDamaged(
            f"cannot use the artifact of {name}",
            "\n".join(said[:3]) + more + f"\nin {tree}",
            hint=f"Build it again: tidegate release {name}",
            address=name,
        )

    async def remove(self, artifact: Artifact) -> None:
        """See `Artifacts`. Raises `ReleaseError` for one that lies elsewhere, or that cannot be deleted."""
        place = Path(artifact.location).parent
        if not self.reaches(artifact):
            raise ReleaseError("cannot remove an artifact", f"{artifact.location} is not below {self._folder}.")
        if not place.parent.exists():
            return
        try:
            async with locked(place, _say_nothing_at_all):
                await to_thread.run_sync(clear, place)
        except OSError as error:
            raise ReleaseError(
                "cannot remove an artifact", f"{error.filename or place}: {error.strerror}", hint="Delete it by hand."
            ) from error

    async def present(self) -> Mapping[str, Artifact]:
        """See `Artifacts`."""
        return await to_thread.run_sync(_found, self._folder)

    async def use(self, releases: Collection[str]) -> None:
        """See `Artifacts`."""
        try:
            await self._uses.add(releases)
        except OSError as error:
            raise _unwritable(error, self._folder) from error

    @asynccontextmanager
    async def pruning(self) -> AsyncIterator[Collection[str]]:
        """See `Artifacts`."""
        async with AsyncExitStack() as stack:
            try:
                used = await stack.enter_async_context(self._uses.alone())
            except OSError as error:
                raise _unwritable(error, self._folder) from error
            yield used

    def place(self, component: str, release: str) -> Path:
        """Where a release lies on this machine, or will lie."""
        return self._folder / component / release_name(release)

    async def _build(self, request: BuildRequest, place: Path, say: Callable[[str], None]) -> Artifact:
        tree = place / TREE
        try:
            await to_thread.run_sync(make_room, place)
            await to_thread.run_sync(copy_sources, request.root, request.sources, tree)
            request.log.parent.mkdir(parents=True, exist_ok=True)
            request.log.write_bytes(b"")
            if request.command:
                await self._run(request, tree, say)
            else:  # a command of the system may be all there is; it runs there all the same
                (tree / request.folder).mkdir(parents=True, exist_ok=True)
            return await to_thread.run_sync(complete, place, request.release, this_platform())
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(delete, place)
            raise

    async def _run(self, request: BuildRequest, tree: Path, say: Callable[[str], None]) -> None:
        folder = tree / request.folder
        if not folder.is_dir():
            raise BuildFailed(
                f"cannot build {request.component}",
                f"Its sources have no folder {request.folder}.",
                hint="Are all of its files ignored by version control?",
                address=request.component,
            )
        status, last = await run_command(
            request.command, folder=folder, env=bare_environment(request.env), log=request.log, on_line=say
        )
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise BuildFailed(
                f"cannot build {request.component}",
                "\n".join([f"The build command ended with {how}.", *(f"  | {line}" for line in last)]),
                hint=f"The whole log: {request.log}{not_passed(request.env)}",
                address=request.component,
            )


def not_passed(passed: Mapping[str, str]) -> str:
    """What to do, on a line of its own, if the build failed for want of the caller's way to the network."""
    missing = [name for name in network_variables(os.environ) if name not in passed]
    if not missing:
        return ""
    return (
        f"\nBuilds do not see {', '.join(missing)} of your environment. If this one needs the network, write in "
        f"tidegate.yaml: `builds: {{pass: [{', '.join([*passed, *missing])}]}}`"
    )


def release_name(release: str) -> str:
    """How the folder of a release is called."""
    return release.rpartition(":")[2][:16]


def lies_elsewhere(component: str, artifact: Artifact) -> ArtifactDamaged:
    """The error for an artifact at a place that this machine, or this checkout, does not look at."""
    return ArtifactDamaged(
        f"cannot use the artifact of {component}",
        f"Release {short(artifact.release)} was built elsewhere and lies there alone: {artifact.location}",
        hint="Share artifacts: in tidegate.yaml, let `artifacts:` be a folder or an s3://BUCKET/PREFIX that all reach; "
        f"then run there: tidegate release {component}",
        address=component,
    )


def _unwritable(error: OSError, folder: Path) -> ReleaseError:
    return ReleaseError(
        "cannot use the artifacts of this machine",
        f"{error.filename or folder}: {error.strerror}",
        hint="Check the space on the disk and that you may write there.",
    )


def _found(folder: Path) -> dict[str, Artifact]:
    found = (held(path.parent) for path in sorted(folder.glob(f"*/*/{MARKER}")))
    return {artifact.release: artifact for artifact in found if artifact}


def _say_nothing(_: str) -> None:
    pass


def _say_nothing_at_all() -> None:
    pass
