"""Trees that several machines share: built once, kept as archives in a storage, and fetched to where they will run.

    URL/COMPONENT/RELEASE/tree-PLATFORM-DIGEST.tar.gz

The name holds the digest, so it never stands for other bytes: two machines that build the same release at once do not
meet, and the store says whose artifact it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from tidegate.builds.archive import ArchiveBroken, Origin, pack, unpack
from tidegate.builds.content import content_of, encoded
from tidegate.builds.files import delete, locked
from tidegate.builds.place import DAMAGED, FORMAT, MARKER, TREE, complete, damage, files_of, make_room, marker_of
from tidegate.builds.relocation import leading_nowhere, relocate, unmovable
from tidegate.builds.tree import BuildRequest, TreeArtifacts, lies_elsewhere, release_name
from tidegate.errors import ArtifactDamaged, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import digest_bytes, short
from tidegate.ports.artifacts import ArtifactStorage

SHOWN = 3  # names of files in an error


class SharedTrees:
    """Implements `tidegate.ports.artifacts.Artifacts`. Locations are those of the storage; `local` is where trees are
    built, or fetched to, on this machine."""

    def __init__(self, local: TreeArtifacts, storage: ArtifactStorage) -> None:
        self._local = local
        self._storage = storage

    @property
    def shares(self) -> bool:
        """See `Artifacts`."""
        return True

    async def build(self, request: BuildRequest) -> Artifact:
        """Build, or find built here, and share it. Raises as `TreeArtifacts.build`, and `ArtifactsUnreachable`."""
        place = self._local.place(request.component, request.release)
        await self._forget_fetched(place)
        artifact = await self._local.build(request)
        if await to_thread.run_sync(damage, place, artifact):
            artifact = await self._local.build(request)
        name = _name(request.component, artifact)
        if not await self._storage.exists(name):
            await self._share(place, artifact, name, request.on_line)
        return replace(artifact, location=f"{self._storage.url}/{name}")

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        """See `Artifacts`."""
        return self._local.choose(artifacts)

    def reaches(self, artifact: Artifact) -> bool:
        """See `Artifacts`."""
        return self._shared_name(artifact) is not None or self._local.reaches(artifact)

    async def available(self, artifact: Artifact) -> bool:
        """See `Artifacts`. One that only lies on this machine does not count: it has to be shared."""
        name = self._shared_name(artifact)
        return name is not None and await self._storage.exists(name)

    async def verify(self, artifact: Artifact) -> Path:
        """See `Artifacts`. A damaged copy is fetched again."""
        name = self._shared_name(artifact)
        if name is None:
            return await self._verify_unshared(artifact)
        component = name.partition("/")[0]
        place = self._local.place(component, artifact.release)
        if await to_thread.run_sync(damage, place, artifact):
            try:
                async with locked(place, lambda: None):
                    if await to_thread.run_sync(damage, place, artifact):  # nobody fetched it while we waited
                        await self._fetch(component, place, artifact, name)
            except OSError as error:
                raise ReleaseError(
                    f"cannot fetch the artifact of {component}",
                    f"{error.filename or place}: {error.strerror}",
                    hint="Check the space on the disk and that you may write there; `tidegate prune` makes room.",
                    address=component,
                ) from error
        return place / TREE

    async def remove(self, artifact: Artifact) -> None:
        """See `Artifacts`."""
        name = self._shared_name(artifact)
        if name is None:
            await self._local.remove(artifact)
        else:
            await self._storage.delete(name)

    async def present(self) -> Mapping[str, Artifact]:
        """See `Artifacts`."""
        return await self._local.present()

    async def use(self, releases: Collection[str]) -> None:
        """See `Artifacts`."""
        await self._local.use(releases)

    def pruning(self) -> AbstractAsyncContextManager[Collection[str]]:
        """See `Artifacts`."""
        return self._local.pruning()

    def _shared_name(self, artifact: Artifact) -> str | None:
        start = f"{self._storage.url}/"
        return artifact.location.removeprefix(start) if artifact.location.startswith(start) else None

    async def _verify_unshared(self, artifact: Artifact) -> Path:
        """One that was built before artifacts were shared, or shared elsewhere."""
        if artifact.location.startswith("/"):
            return await self._local.verify(artifact)
        parts = artifact.location.split("/")
        raise lies_elsewhere(parts[-3] if len(parts) > 3 else artifact.location, artifact)

    async def _forget_fetched(self, place: Path) -> None:
        """What was fetched is no longer what was built, so it cannot be shared again: it is built anew here."""

        def forget() -> None:
            marker = marker_of(place)
            if marker is not None and marker.fetched:
                with suppress(FileNotFoundError):
                    (place / MARKER).rename(place / DAMAGED)

        await to_thread.run_sync(forget)

    async def _share(self, place: Path, artifact: Artifact, name: str, on_line: Callable[[str], None] | None) -> None:
        component = name.partition("/")[0]
        if on_line is not None:
            on_line(f"sharing it: {self._storage.url}/{name}")
        file = place.with_name(f"{place.name}.packed")
        try:
            async with locked(place, lambda: None):
                try:
                    await to_thread.run_sync(_pack, component, place, artifact, file)
                    await self._storage.put(name, file)
                finally:
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise ReleaseError(
                f"cannot share the artifact of {component}",
                f"{error.filename or file}: {error.strerror}",
                hint="Check the space on the disk and that you may write there; `tidegate prune` makes room.",
                address=component,
            ) from error

    async def _fetch(self, component: str, place: Path, artifact: Artifact, name: str) -> None:
        file = place.with_name(f"{place.name}.packed")
        try:
            if not await self._storage.get(name, file):
                raise ArtifactDamaged(
                    f"cannot use the artifact of {component}",
                    f"Release {short(artifact.release)} is gone from {artifact.location}",
                    hint=f"Build it again: tidegate release {component}",
                    address=component,
                )
            try:
                await to_thread.run_sync(make_room, place)
                await to_thread.run_sync(_settle_in, component, file, place, artifact)
            except BaseException:
                with anyio.CancelScope(shield=True), suppress(OSError):
                    await to_thread.run_sync(delete, place)
                raise
        finally:
            file.unlink(missing_ok=True)


def _pack(component: str, place: Path, artifact: Artifact, file: Path) -> None:
    tree = place / TREE
    built = files_of(place)
    places = tuple(sorted({str(tree), str(tree.resolve())}))
    stuck = unmovable(tree, sorted(built), places)
    if stuck:
        raise _cannot_move(component, stuck, tree)
    pack(tree, built, Origin(artifact.release, places), file)


def _settle_in(component: str, file: Path, place: Path, artifact: Artifact) -> None:
    """From the archive to a tree that runs here: unpacked, compared with what was built, then relocated."""
    tree = place / TREE
    try:
        origin = _unpack_what_was_built(file, place, artifact)
    except ArchiveBroken as error:
        raise ArtifactDamaged(
            f"cannot use the artifact of {component}",
            f"{artifact.location} is damaged: {error}",
            hint=f"Delete that file, then build it again: tidegate release {component}",
            address=component,
        ) from error
    relocate(tree, origin.places, tree)
    for link, target in leading_nowhere(tree):
        raise ArtifactDamaged(
            f"cannot use the artifact of {component} on this machine",
            f"{link} leads to {target}, which is not here.",
            hint="Install what it was built with at the same path.",
            address=component,
        )
    complete(place, artifact.release, artifact.platform, built_elsewhere=artifact.digest)


def _unpack_what_was_built(file: Path, place: Path, artifact: Artifact) -> Origin:
    origin = unpack(file, place)
    if origin.release != artifact.release:
        raise ArchiveBroken("It is of another release.")
    if digest_bytes("artifact", encoded(content_of(place / TREE))) != artifact.digest:
        raise ArchiveBroken("Its files are not those that were built.")
    return origin


def _cannot_move(component: str, files: Sequence[str], built: Path) -> ReleaseError:
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ReleaseError(
        f"cannot share the artifact of {component}",
        f"{', '.join(files[:SHOWN])}{more} can only run where it was built: the path {built} is in the binary.",
        hint="Let the build leave paths out (strip, -trimpath, -ffile-prefix-map, --remap-path-prefix), or delete what "
        "is not needed to run.",
        address=component,
    )


def _name(component: str, artifact: Artifact) -> str:
    release, digest = release_name(artifact.release), release_name(artifact.digest)
    return f"{component}/{release}/{FORMAT}-{artifact.platform}-{digest}.tar.gz"
