"""Making a tree run at another place than the one it was built at.

Programs are told absolute paths when they are installed: virtual environments in shebangs, `pyvenv.cfg`, `*.pth` and
scripts. In text and in links the old place is replaced by the new one. In a binary it cannot be: lengths are written
beside texts there. A tree with such a binary is not shared.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tidegate.builds.content import paths_of

HARMLESS = (".pyc",)
"""Byte code names its source for tracebacks only."""
LONGEST_SHEBANG = 127
"""Bytes that any kernel in use reads of a first line."""


def unmovable(tree: Path, paths: Iterable[str], places: Sequence[str]) -> list[str]:
    """Those of the files (relative to the tree) that are binaries and hold one of the absolute paths `places`.

    Raises `OSError`.
    """
    return [path for path in paths if _is_unmovable(tree / path, _bytes(places))]


def relocate(tree: Path, places: Sequence[str], to: Path) -> None:
    """Replace each of the absolute paths `places` by `to`, in texts and links. Raises `OSError`."""
    old, new = _bytes(places), os.fsencode(to)
    for path in paths_of(tree):
        file = tree / path
        if file.is_symlink():
            _relink(file, places, to)
        elif any(_holds(file, place) for place in old):
            _rewrite(file, old, new)


def leading_nowhere(tree: Path) -> Iterator[tuple[str, str]]:
    """Programs of the tree that are links to programs of the machine which this machine does not have: path, target.

    Only in folders named `bin`, such as the interpreter of a virtual environment: other links need not lead anywhere.
    """
    for path in paths_of(tree):
        file = tree / path
        if file.is_symlink() and file.parent.name == "bin" and not file.exists():
            target = os.readlink(file)  # noqa: PTH115 - a Path would tidy it up
            if target.startswith("/"):
                yield path, target


def _bytes(places: Sequence[str]) -> list[bytes]:
    return [os.fsencode(place) for place in places]


def _is_unmovable(file: Path, places: Sequence[bytes]) -> bool:
    if file.is_symlink() or file.suffix in HARMLESS:
        return False
    return any(_holds(file, place) for place in places) and _holds(file, b"\0")


def _holds(file: Path, text: bytes) -> bool:
    if not file.stat().st_size:  # nothing cannot be mapped
        return False
    with file.open("rb") as reading, mmap.mmap(reading.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def _relink(link: Path, places: Sequence[str], to: Path) -> None:
    target = os.readlink(link)  # noqa: PTH115 - a Path would tidy it up
    for place in places:
        if target == place or target.startswith(f"{place}/"):
            folder = link.parent
            mode = folder.stat().st_mode & 0o7777
            folder.chmod(mode | 0o200)
            link.unlink()
            link.symlink_to(f"{to}{target.removeprefix(place)}")
            folder.chmod(mode)
            return


def _rewrite(file: Path, old: Sequence[bytes], new: bytes) -> None:
    if file.suffix in HARMLESS:
        return
    longest_first = b"|".join(re.escape(place) for place in sorted(old, key=len, reverse=True))  # one may end another
    content = re.sub(longest_first, lambda _: new, file.read_bytes())
    mode = file.stat().st_mode & 0o7777
    file.chmod(mode | 0o200)
    file.write_bytes(_with_shebang_that_fits(content, new))
    file.chmod(mode)


def _with_shebang_that_fits(content: bytes, place: bytes) -> bytes:
    """A first line that the kernel would cut or take apart is left to the shell, in words that Python skips. Scripts
    of other languages stay as they are: most kernels read 255 bytes."""
    line, end, rest = content.partition(b"\n")
    if not line.startswith(b"#!" + place) or (len(line) <= LONGEST_SHEBANG and b" " not in place):
        return content
    below, _, arguments = line.removeprefix(b"#!" + place).partition(b" ")
    if not below.rpartition(b"/")[2].startswith(b"python"):
        return content
    program = re.sub(rb'(["$`\\])', rb"\\\1", place + below)
    return b"#!/bin/sh\n'''exec' \"%s\" %s \"$0\" \"$@\"\n' '''" % (program, arguments) + end + rest
