"""One place of an artifact on this machine: when it is whole, what is wrong with it, how room is made for another.

PLACE/tree/          the files
PLACE/files.json     what lies there, file by file
PLACE/artifact.json  the marker, written last: without it the folder is rubbish and is replaced
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tidegate.builds.command import end_leftovers
from tidegate.builds.content import content_of, differences, encoded
from tidegate.builds.files import delete, write_durably
from tidegate.model.component import Artifact
from tidegate.model.digest import digest_bytes

FORMAT = "tree"
TREE = "tree"
MARKER = "artifact.json"
FILES = "files.json"
DAMAGED = "damaged"
MISSING = "it is missing, or was never completed"


@dataclass(frozen=True, slots=True)
class Marker:
    """What a place holds. `tree` is where the files were when it was written ("" by an older Tidegate). `listed` is
    the digest of `files.json` where that is another than the artifact's: it was built elsewhere, and its files were
    changed to run here."""

    digest: str
    release: str
    platform: str
    tree: str = ""
    listed: str = ""

    @property
    def fetched(self) -> bool:
        """Whether it was built elsewhere."""
        return bool(self.listed)


def marker_of(place: Path) -> Marker | None:
    """None if there is none that can be read."""
    with suppress(OSError, ValueError, TypeError):
        found = Marker(**json.loads((place / MARKER).read_bytes()))
        if all(isinstance(getattr(found, field.name), str) for field in fields(found)):
            return found
    return None


def held(place: Path) -> Artifact | None:
    """The complete artifact that lies here. None for one that was moved here by hand: what is in it knows its place."""
    tree = place / TREE
    marker = marker_of(place)
    if marker is None or marker.tree not in {"", str(tree)} or not tree.is_dir():
        return None
    return Artifact(marker.digest, marker.release, FORMAT, marker.platform, str(tree))


def files_of(place: Path) -> frozenset[str]:
    """The files and links of a complete artifact, relative to its tree. Raises `OSError`, `ValueError`."""
    return frozenset(json.loads((place / FILES).read_bytes()))


def complete(place: Path, release: str, platform: str, *, built_elsewhere: str = "") -> Artifact:
    """Write down what lies in the tree, then the marker. `built_elsewhere` is the digest that an artifact had before
    it was made to run here. Raises `OSError`."""
    content = encoded(content_of(place / TREE))
    (place / FILES).write_bytes(content)
    listed = digest_bytes("artifact", content)
    tree = str(place / TREE)
    marker = Marker(built_elsewhere or listed, release, platform, tree, listed if built_elsewhere else "")
    # The files themselves are not flushed: what a power cut takes from them, `damage` misses.
    write_durably(place / MARKER, json.dumps(asdict(marker), indent=1).encode())
    return Artifact(marker.digest, release, FORMAT, platform, tree)


def damage(place: Path, artifact: Artifact) -> list[str]:
    """In words, why what lies here is not this artifact, whole; nothing if it is. A damaged one loses its marker."""
    marker = marker_of(place)
    if marker is None:
        return [MISSING]
    if marker.release != artifact.release or marker.digest != artifact.digest:
        return ["another artifact lies in its place"]
    if marker.tree not in {"", str(place / TREE)}:
        return [f"it was made to run in {marker.tree}, and moved"]
    try:
        content = (place / FILES).read_bytes()
    except OSError as error:
        said = [f"{FILES} cannot be read: {error.strerror}"]
    else:
        if digest_bytes("artifact", content) != (marker.listed or artifact.digest):
            said = [f"{FILES} was changed"]
        else:
            said = differences(place / TREE, json.loads(content))
    if said:
        with suppress(OSError):  # refused all the same
            (place / MARKER).rename(place / DAMAGED)
    return said


def make_room(place: Path) -> None:
    """Delete what an interrupted build left; move aside what was complete once, since instances may still run from
    it. Raises `OSError`."""
    if (place / DAMAGED).exists() or (place / MARKER).exists():  # a marker nobody can read was a good one once
        number = sum(1 for _ in place.parent.glob(f"{place.name}.{DAMAGED}*"))
        place.rename(place.with_name(f"{place.name}.{DAMAGED}{number}"))
    elif place.exists():
        end_leftovers(place)
    delete(place)
    place.mkdir(parents=True)


def clear(place: Path) -> None:
    """Delete it and what was moved aside of it. Raises `OSError`."""
    (place / MARKER).unlink(missing_ok=True)  # first: half of an artifact is none
    for folder in (place, *place.parent.glob(f"{place.name}.{DAMAGED}*")):
        delete(folder)
