"""Artifacts: where releases lie, built, whole and ready to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from tidegate.model.component import Artifact


class Artifacts(Protocol):
    """Artifacts of the format that a target runs. They may lie on this machine alone, or where others get them."""

    @property
    def shares(self) -> bool:
        """Whether what is built is put where others get it."""
        ...

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        """The one that this machine can run, of all artifacts of a release; None if there is none."""
        ...

    def reaches(self, artifact: Artifact) -> bool:
        """Whether it lies at a place of ours, shared or not: if it is not there now, it is nowhere. Asks nobody."""
        ...

    async def available(self, artifact: Artifact) -> bool:
        """Whether it lies complete where it has to; its files are not compared. Raises `ArtifactsUnreachable`."""
        ...

    async def remove(self, artifact: Artifact) -> None:
        """Delete it where it lies (what was fetched of it is another, see `present`); harmless when it is gone.

        Raises `ArtifactsUnreachable`, `ReleaseError`.
        """
        ...

    async def present(self) -> Mapping[str, Artifact]:
        """What lies complete on this machine, built or fetched: digest of the release -> artifact."""
        ...

    async def use(self, releases: Collection[str]) -> None:
        """Say that these are about to be built, shared or started: nobody who prunes on this machine takes them away
        until this process is done. Waits for one who does so right now. Raises `ReleaseError`."""
        ...

    def pruning(self) -> AbstractAsyncContextManager[Collection[str]]:
        """Hold off `use` by others, and get what those said who still live. Raises `ReleaseError`."""
        ...


class Trees(Artifacts, Protocol):
    """Artifacts that are folders of files."""

    async def verify(self, artifact: Artifact) -> Path:
        """The folder on this machine that it lies in, after every file was compared with what was built. One that is
        shared is fetched first if it is not here, and made to run at this place.

        Raises `ArtifactDamaged` if it is missing or differs, `ArtifactsUnreachable`, `ReleaseError`.
        """
        ...


class Images(Artifacts, Protocol):
    """Artifacts that are container images."""

    async def reference(self, artifact: Artifact, component: str) -> str:
        """`REGISTRY/NAME@sha256:…` by which the nodes of the place pull it. Copied by its digest into the registry of
        the place first if it is not there.

        Raises `ArtifactDamaged` if it is nowhere any more, `ArtifactsUnreachable`.
        """
        ...


class ArtifactStorage(Protocol):
    """Files by name, where several machines reach them. Names have forward slashes.

    A name never stands for other bytes than it once did. Every method raises `ArtifactsUnreachable`, which says in
    plain words what to do and never holds a secret.
    """

    @property
    def url(self) -> str:
        """What locations of its files begin with, without a slash at its end; no secret is in it."""
        ...

    async def put(self, name: str, file: Path) -> None:
        """Keep the content of `file`. Whoever reads sees all of it or nothing."""
        ...

    async def get(self, name: str, file: Path) -> bool:
        """Write the content to `file`; False if there is none of this name. After an error `file` means nothing."""
        ...

    async def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        ...

    async def delete(self, name: str) -> None:
        """Harmless when it is gone."""
        ...
