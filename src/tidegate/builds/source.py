"""Sources: the files a component is made of, and the digest that names them.

The same files give the same digest on any machine: it says their paths, contents, link targets and whether they may
be executed; nothing about times, owners, other permissions, order, language or where the checkout lies.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tidegate.builds.git import git_listing
from tidegate.builds.hashing import HashedFile, Hasher
from tidegate.builds.listing import Listing
from tidegate.builds.walk import ignored, walk_listing
from tidegate.errors import ReleaseError
from tidegate.model.digest import digest

CACHE = ".tidegate/cache/sources.json"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`path` is relative to the root, with forward slashes. Of a link, `sha256` is that of its target `link`."""

    path: str
    executable: bool
    link: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Sources:
    """`files` sorted by path. `commit` is what is checked out, "" if nothing is; `dirty` says that the files,
    or what was excluded from them, differ from it, or that there is none."""

    digest: str
    files: tuple[SourceFile, ...]
    commit: str
    dirty: bool


def read_sources(root: Path, paths: Sequence[str], exclude: Sequence[str] = ()) -> Sources:
    """The files below `paths` without those below `exclude`; both relative to `root`, with forward slashes.

    Files that version control ignores do not count, nor do the folders `.git`, `.tidegate`, `__pycache__`, `.venv`
    and `node_modules`. The user's own ignore lists are not asked. Repositories inside this one are read as folders.
    Raises `ReleaseError`.
    """
    return read_many(root, {"": (paths, exclude)})[""]


def read_many(root: Path, parts: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> dict[str, Sources]:
    """`read_sources` for many components at once: name -> (paths, exclude). Lists and hashes each file once."""
    root = root.absolute()
    try:
        listing = git_listing(root) or walk_listing(root)
        chosen = {name: _choose(root, listing, paths, exclude) for name, (paths, exclude) in parts.items()}
        hasher = Hasher(root, root / CACHE)
        hashed = hasher.hash({path for files in chosen.values() for path in files})
        hasher.save()
    except OSError as error:
        raise ReleaseError(
            "cannot read the sources", f"{error.filename}: {error.strerror}", hint="Check that you may read them."
        ) from error
    return {name: _sources(listing, hashed, chosen[name], paths) for name, (paths, _) in parts.items()}


def would_count(root: Path, file: Path, paths: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a new file at this absolute place would belong to these sources (see `read_sources`)."""
    if not file.is_relative_to(root):
        return False
    if not _below([file.relative_to(root).as_posix()], paths, exclude):
        return False
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    try:
        if top != root and ignored(top, root.relative_to(top).as_posix() + "/"):
            top = root  # a folder that the repository around it ignores is no part of it
        return not ignored(top, file.relative_to(top).as_posix())
    except OSError as error:
        raise ReleaseError(
            "cannot read the sources", f"{error.filename}: {error.strerror}", hint="Check that you may read them."
        ) from error


def _choose(root: Path, listing: Listing, paths: Sequence[str], exclude: Sequence[str]) -> list[str]:
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ReleaseError(
                "cannot read the sources", f"{path} leads out of the project.", hint="Sources are paths below its root."
            )
        if not (root / path).exists():
            raise ReleaseError(
                "cannot read the sources", f"There is no {path} in {root}.", hint="Check `sources:` in the manifest."
            )
    return _below(listing.files, paths, exclude)


def _below(candidates: Sequence[str], paths: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Those of the sorted `candidates` that are, or lie below, one of `paths` and none of `exclude`."""
    found: set[str] = set()
    for path in paths:
        found.update(_range(candidates, path))
    for path in exclude:
        found.difference_update(_range(candidates, path))
    return sorted(found)


def _range(candidates: Sequence[str], path: str) -> Iterable[str]:
    path = str(PurePosixPath(path))
    if path == ".":
        return candidates
    start = bisect_left(candidates, path)
    itself = candidates[start : start + 1] if candidates[start : start + 1] == [path] else []
    # "0" is the character after "/", so all of the folder lies between the two.
    return [*itself, *candidates[bisect_left(candidates, path + "/") : bisect_left(candidates, path + "0")]]


def _sources(
    listing: Listing,
    hashed: Mapping[str, HashedFile],
    chosen: Sequence[str],
    paths: Sequence[str],
) -> Sources:
    files = tuple(
        SourceFile(path, found.executable, found.link, found.sha256) for path in chosen if (found := hashed.get(path))
    )
    for file in files:
        _check(file)
    content = [[file.path, "x" if file.executable else "l" if file.link else "f", file.sha256] for file in files]
    # Also what is excluded counts: how a release is run and configured has to be committed as its sources are.
    dirty = not listing.commit or bool(_below(listing.changed, paths, ()))
    return Sources(digest("sources", content), files, listing.commit, dirty)


def _check(file: SourceFile) -> None:
    try:
        (file.path + (file.link or "")).encode()
    except UnicodeEncodeError as error:
        raise ReleaseError(
            "cannot read the sources",
            f"The name of {file.path.encode(errors='backslashreplace').decode()} is not UTF-8.",
            hint="Rename the file; a release has to mean the same on every machine.",
        ) from error
    if file.link is None:
        return
    depth = len(PurePosixPath(file.path).parts) - 1
    for part in PurePosixPath(file.link).parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or part == "/":
            raise ReleaseError(
                "cannot read the sources",
                f"The link {file.path} leads out of the project, to {file.link}.",
                hint="Put what it leads to into the project; a release has to mean the same on every machine.",
            )
