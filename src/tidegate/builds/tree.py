"""Artifacts as trees of files on this machine, built at the place where they will run (virtual environments hold
absolute paths).

    FOLDER/COMPONENT/RELEASE/tree/       the files, laid out as in the checkout
    FOLDER/COMPONENT/RELEASE/files.json  what was built, file by file; its digest names the artifact
    FOLDER/COMPONENT/RELEASE/artifact.json   written last: without it the folder is rubbish and is replaced
    FOLDER/COMPONENT/RELEASE.lock        held while it is built or removed

A damaged artifact is refused, loses its `artifact.json`, and so is built again by the next that asks for it. Its
folder is moved aside then, not deleted: instances that still run from it keep their files.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from tidegate.builds.command import bare_environment, end_leftovers, run_command
from tidegate.builds.content import content_of, differences, encoded
from tidegate.builds.copying import copy_sources
from tidegate.builds.files import delete, locked, write_durably
from tidegate.builds.source import Sources
from tidegate.errors import ArtifactDamaged, BuildFailed, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import digest_bytes
from tidegate.model.network import network_variables

FORMAT = "tree"
MARKER = "artifact.json"
FILES = "files.json"
DAMAGED = "damaged"


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

    async def build(self, request: BuildRequest) -> Artifact:
        """Build, or find built; when another process builds the same release, wait for it and use what it made.

        Raises `BuildFailed` if the command fails, `ReleaseError` if files cannot be read or written or changed since
        their digest was taken. Then, and when cancelled, nothing is left but the log.
        """
        place = self._place(request.component, request.release)
        say = request.on_line or _say_nothing
        try:
            async with locked(place, lambda: say("waiting for another process that builds this release")):
                held = await to_thread.run_sync(_marked, place)
                return held or await self._build(request, place, say)
        except OSError as error:
            raise ReleaseError(
                f"cannot build {request.component}",
                f"{error.filename or self._folder}: {error.strerror}",
                hint="Check the space on the disk and that you may write there; `tidegate prune` makes room.",
                address=request.component,
            ) from error

    async def verify(self, artifact: Artifact) -> Path:
        """See `Artifacts`. Files that came later are no damage; a changed mode of a file is."""
        tree = Path(artifact.location)
        said = await to_thread.run_sync(_damage, tree.parent, artifact)
        if not said:
            return tree
        name = tree.parent.parent.name
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
        if place.parent.parent != self._folder:
            raise ReleaseError("cannot remove an artifact", f"{artifact.location} is not below {self._folder}.")
        if not place.parent.exists():
            return
        try:
            async with locked(place, _say_nothing_at_all):
                (place / MARKER).unlink(missing_ok=True)  # first: half of an artifact is none
                for folder in (place, *place.parent.glob(f"{place.name}.{DAMAGED}*")):
                    await to_thread.run_sync(delete, folder)
        except OSError as error:
            raise ReleaseError(
                "cannot remove an artifact", f"{error.filename or place}: {error.strerror}", hint="Delete it by hand."
            ) from error

    async def present(self) -> Sequence[str]:
        """See `Artifacts`."""
        return await to_thread.run_sync(lambda: sorted(_releases(self._folder)))

    def _place(self, component: str, release: str) -> Path:
        return self._folder / component / release.rpartition(":")[2][:16]

    async def _build(self, request: BuildRequest, place: Path, say: Callable[[str], None]) -> Artifact:
        tree = place / "tree"
        try:
            await to_thread.run_sync(_make_room, place)
            await to_thread.run_sync(copy_sources, request.root, request.sources, tree)
            request.log.parent.mkdir(parents=True, exist_ok=True)
            request.log.write_bytes(b"")
            if request.command:
                await self._run(request, tree, say)
            content = encoded(await to_thread.run_sync(content_of, tree))
            artifact = Artifact(digest_bytes("artifact", content), request.release, FORMAT, this_platform(), str(tree))
            (place / FILES).write_bytes(content)
            # The files themselves are not flushed: what a power cut takes from them, `verify` misses.
            marker = {"digest": artifact.digest, "release": artifact.release, "platform": artifact.platform}
            await to_thread.run_sync(write_durably, place / MARKER, json.dumps(marker, indent=1).encode())
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(delete, place)
            raise
        return artifact

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
                hint=f"The whole log: {request.log}{_not_passed(request.env)}",
                address=request.component,
            )


def _not_passed(passed: Mapping[str, str]) -> str:
    """What to do, on a line of its own, if the build failed for want of the caller's way to the network."""
    missing = [name for name in network_variables(os.environ) if name not in passed]
    if not missing:
        return ""
    return (
        f"\nBuilds do not see {', '.join(missing)} of your environment. If this one needs the network, write in "
        f"tidegate.yaml: `builds: {{pass: [{', '.join([*passed, *missing])}]}}`"
    )


def _make_room(place: Path) -> None:
    """Delete what an interrupted build left; move what was damaged aside, since instances may still run from it."""
    if (place / DAMAGED).exists() or (place / MARKER).exists():  # a marker nobody can read was a good one once
        number = sum(1 for _ in place.parent.glob(f"{place.name}.{DAMAGED}*"))
        place.rename(place.with_name(f"{place.name}.{DAMAGED}{number}"))
    elif place.exists():
        end_leftovers(place)
    delete(place)
    place.mkdir(parents=True)


def _marked(place: Path) -> Artifact | None:
    """The complete artifact that lies here."""
    marker = _marker(place)
    if marker is None or not (place / "tree").is_dir():
        return None
    return Artifact(marker["digest"], marker["release"], FORMAT, marker["platform"], str(place / "tree"))


def _marker(place: Path) -> dict[str, str] | None:
    with suppress(OSError, ValueError):
        found = json.loads((place / MARKER).read_bytes())
        if isinstance(found, dict) and found.keys() == {"digest", "release", "platform"}:
            return found
    return None


def _damage(place: Path, artifact: Artifact) -> list[str]:
    marker = _marker(place)
    if marker is None:
        return ["it is missing, or was never completed"]
    if marker["release"] != artifact.release or marker["digest"] != artifact.digest:
        return ["another artifact lies in its place"]
    try:
        content = (place / FILES).read_bytes()
    except OSError as error:
        said = [f"{FILES} cannot be read: {error.strerror}"]
    else:
        if digest_bytes("artifact", content) != artifact.digest:
            said = [f"{FILES} was changed"]
        else:
            said = differences(place / "tree", json.loads(content))
    if said:
        with suppress(OSError):  # refused all the same
            (place / MARKER).rename(place / DAMAGED)
    return said


def _releases(folder: Path) -> set[str]:
    found = (_marker(path.parent) for path in folder.glob(f"*/*/{MARKER}"))
    return {marker["release"] for marker in found if marker}


def _say_nothing(_: str) -> None:
    pass


def _say_nothing_at_all() -> None:
    pass
