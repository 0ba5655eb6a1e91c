"""Releases as container images, in the registry of the place where they run.

REGISTRY/COMPONENT@sha256:…             the image
FOLDER/COMPONENT/RELEASE.image.json     what this machine built and pushed, so that it is built once
"""

from __future__ import annotations

import json
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from anyio import to_thread

from tidegate.builds.files import write_durably
from tidegate.builds.image_names import Announced, ImageName, image_below, pinned_image
from tidegate.builds.registry import Registries
from tidegate.builds.tree import release_name
from tidegate.builds.uses import Uses
from tidegate.errors import ArtifactDamaged, ReleaseError, TidegateError
from tidegate.model.component import Artifact

FORMAT = "image"
RELEASE_LABEL = "dev.tidegate.release"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # as the system, and as images call them


def machine_platform() -> str:
    """What containers on this machine run on, such as `linux/amd64`."""
    machine = platform.machine().lower()
    return f"linux/{MACHINES.get(machine, machine)}"


class ImageArtifacts:
    """Implements `tidegate.ports.artifacts.Images`. `registry` tells the registry of the place when it is needed;
    `folder` is the project's own on this machine, the same as that of its trees; `platform` is what the place runs.
    """

    def __init__(
        self,
        folder: Path,
        registry: Callable[[], Awaitable[Announced]],
        *,
        platform: str = "",
        registries: Registries | None = None,
    ) -> None:
        self.platform = platform or machine_platform()
        self.registries = registries or Registries()
        self._folder = folder.absolute()
        self._registry = registry
        self._known: Announced | None = None
        self._uses = Uses(self._folder / "uses")

    async def aclose(self) -> None:
        """Close connections; what was said to be in use no longer is."""
        self._uses.close()
        await self.registries.aclose()

    @property
    def shares(self) -> bool:
        """See `Artifacts`."""
        return True

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        """See `Artifacts`; one in the registry of the place before one that has to be copied."""
        fitting = [each for each in artifacts if each.format == FORMAT and each.platform == self.platform]
        return next((each for each in fitting if self.reaches(each)), fitting[0] if fitting else None)

    def reaches(self, artifact: Artifact) -> bool:
        """See `Artifacts`. Until it is known which registry the place has, none of its images are."""
        return self._known is not None and artifact.location.startswith(f"{self._known.push.strip('/')}/")

    async def available(self, artifact: Artifact) -> bool:
        """See `Artifacts`: in the registry of the place, or where it can be copied from."""
        name, digest = pinned_image(artifact.location)
        ours = await self.pushed_to(name.repository.rpartition("/")[2])
        return await self.registries.has(ours, digest) or (name != ours and await self.registries.has(name, digest))

    async def reference(self, artifact: Artifact, component: str) -> str:
        """See `Images`."""
        name, digest = pinned_image(artifact.location)
        ours = await self.pushed_to(component)
        if name != ours:
            await self.registries.copy(name, digest, ours)
        elif not await self.registries.has(ours, digest):
            raise ArtifactDamaged(
                f"cannot use the artifact of {component}",
                f"{artifact.location} is not there any more.",
                hint=f"Build it again: tidegate release {component}",
                address=component,
            )
        return image_below((await self._place()).pull, component).at(digest)

    async def remove(self, artifact: Artifact) -> None:
        """See `Artifacts`. Only what was built for this release: an image that somebody else made stays."""
        if not self.reaches(artifact):
            raise ReleaseError(
                "cannot remove an artifact", f"{artifact.location} is not in the registry of this environment."
            )
        name, digest = pinned_image(artifact.location)
        found = await self.registries.configurations(name, digest)
        if found and all(_labels(each).get(RELEASE_LABEL) == artifact.release for each in found):
            await self.registries.delete(name, digest)
        component = name.repository.rpartition("/")[2]
        with suppress(OSError):  # what it says is compared with the registry whenever it is read
            await to_thread.run_sync(lambda: self._marker(component, artifact.release).unlink(missing_ok=True))

    async def present(self) -> Mapping[str, Artifact]:
        """See `Artifacts`: nothing, images lie in registries. Finds out which registry is the place's."""
        with suppress(TidegateError):  # whatever needs it will say what is wrong
            await self._place()
        return {}

    async def use(self, releases: Collection[str]) -> None:
        """See `Artifacts`."""
        try:
            await self._uses.add(releases)
        except OSError as error:
            raise self._unwritable(error) from error

    @asynccontextmanager
    async def pruning(self) -> AsyncIterator[Collection[str]]:
        """See `Artifacts`."""
        async with AsyncExitStack() as stack:
            try:
                used = await stack.enter_async_context(self._uses.alone())
            except OSError as error:
                raise self._unwritable(error) from error
            await self.present()
            yield used

    def place(self, component: str, release: str) -> Path:
        """Where a release is built on this machine."""
        return self._folder / component / f"{release_name(release)}.image"

    async def pushed_to(self, component: str) -> ImageName:
        """The image of a component in the registry of the place, as this machine reaches it."""
        return image_below((await self._place()).push, component)

    async def built(self, component: str, release: str) -> Artifact | None:
        """What was built of a release on this machine for this registry, if it is still there."""
        try:
            found = Artifact(**json.loads(await to_thread.run_sync(self._marker(component, release).read_bytes)))
            name, digest = pinned_image(found.location)
        except (OSError, ValueError, TypeError, ReleaseError):
            return None
        fits = found.release == release and found.platform == self.platform
        if not fits or name != await self.pushed_to(component) or not await self.registries.has(name, digest):
            return None
        return found

    async def remember(self, component: str, artifact: Artifact) -> None:
        """That it was built and pushed. Raises `OSError`."""
        marker = self._marker(component, artifact.release)
        await to_thread.run_sync(write_durably, marker, json.dumps(asdict(artifact), indent=1).encode())

    async def _place(self) -> Announced:
        if self._known is None:
            self._known = await self._registry()
        return self._known

    def _marker(self, component: str, release: str) -> Path:
        place = self.place(component, release)
        return place.with_name(f"{place.name}.json")

    def _unwritable(self, error: OSError) -> ReleaseError:
        return ReleaseError(
            "cannot use the artifacts of this machine",
            f"{error.filename or self._folder}: {error.strerror}",
            hint="Check the space on the disk and that you may write there.",
        )


def _labels(configuration: Mapping[str, object]) -> Mapping[str, object]:
    inner = configuration.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    return labels if isinstance(labels, dict) else {}
