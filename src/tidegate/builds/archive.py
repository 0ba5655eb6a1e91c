"""Archives: one tree in one file, the same bytes for the same tree.

    origin.json  what it is, and where it was built
    tree/        files, links and folders; without byte code, which Python makes again

Times, owners and the order on the disk are left out. What comes out is not to be trusted before its digest was
compared.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ORIGIN = "origin.json"
TREE = "tree"
WRITTEN = 315532800  # 1980: the first year that every format of the world knows


class ArchiveBroken(Exception):
    """It is torn, or no archive of ours."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Of which release, and `places`: the absolute paths that the tree had where it was built."""

    release: str
    places: tuple[str, ...]


def pack(tree: Path, built: Collection[str], origin: Origin, file: Path) -> None:
    """Write the archive: all folders and, of the files and links, those that were `built`. Raises `OSError`."""
    with (
        file.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        said = json.dumps(asdict(origin)).encode()
        member = _member(ORIGIN, tarfile.REGTYPE, 0o644)
        member.size = len(said)
        archive.addfile(member, io.BytesIO(said))
        archive.addfile(_member(TREE, tarfile.DIRTYPE, 0o755))
        for path in _walk(tree, ""):
            if path in built or _is_folder(tree / path):
                _add(archive, tree / path, f"{TREE}/{path}")


def unpack(file: Path, folder: Path) -> Origin:
    """Write the tree to `FOLDER/tree`, and nothing outside of it. Raises `ArchiveBroken`, `OSError`."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            first = archive.next()
            said = archive.extractfile(first) if first is not None and first.name == ORIGIN else None
            if said is None:
                raise ArchiveBroken(f"It does not begin with {ORIGIN}.")
            found = json.loads(said.read())
            origin = Origin(str(found["release"]), tuple(str(place) for place in found["places"]))
            _extract(archive, folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, LookupError, TypeError) as error:
        raise ArchiveBroken(str(error)) from error
    if not all(place.startswith("/") and place.endswith(f"/{TREE}") for place in origin.places):
        raise ArchiveBroken("It does not say where it was built.")
    return origin


def _walk(tree: Path, folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(tree / folder), key=lambda entry: entry.name):
        if entry.name == "__pycache__" and entry.is_dir(follow_symlinks=False):
            continue
        yield folder + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(tree, f"{folder}{entry.name}/")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        member = _member(name, tarfile.SYMTYPE, 0o777)
        member.linkname = os.readlink(path)  # noqa: PTH115 - a Path would tidy it up
        archive.addfile(member)
    elif stat.S_ISDIR(status.st_mode):
        archive.addfile(_member(name, tarfile.DIRTYPE, mode))
    elif stat.S_ISREG(status.st_mode):
        member = _member(name, tarfile.REGTYPE, mode)
        member.size = status.st_size
        with path.open("rb") as content:
            archive.addfile(member, content)


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, WRITTEN
    return member


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """All members, each into a folder that was made here: so nothing leads out, whatever names and links say."""
    made: dict[str, int] = {}  # folder -> its mode, set at the end: it may forbid writing
    for member in archive:
        if member.name == ORIGIN:
            continue
        parent, _, name = member.name.rpartition("/")
        if (parent not in made and member.name != TREE) or name in {"", ".", ".."}:
            raise ArchiveBroken(f"It holds {member.name!r}.")
        path = folder / member.name
        if member.isdir():
            path.mkdir()
            made[member.name] = member.mode
        elif member.issym():
            path.symlink_to(member.linkname)
        elif member.isreg() and (content := archive.extractfile(member)) is not None:
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
                os.fchmod(file.fileno(), member.mode)
        else:
            raise ArchiveBroken(f"It holds {member.name!r}, which is no file.")
    for name, mode in reversed(made.items()):
        (folder / name).chmod(mode)
