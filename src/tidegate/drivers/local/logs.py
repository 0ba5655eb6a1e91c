"""Logs of instances: written by the instances themselves, rotated without losing a line.

An instance holds its log open for appending and cannot be told to open another; cutting the file off under it loses
what it wrote between copy and cut. So the head of the file is copied into an archive and then given back to
the file system as a hole: the instance goes on at the same end, no line is touched after it was copied, and the disk
space is bounded although the file's nominal size grows. Archives are named after the offset they begin at, so what has
been archived is read from the folder, and an agent that dies in between repeats nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

LIMIT = 10 * 1024 * 1024
KEEP = 5
BLOCK = 1024 * 1024
LONGEST = 64 * 1024
"""Bytes of one line that are shown. Whatever a program prints without ever ending a line, `tail` and `rotate` look at
no more than `BLOCK` of it."""


class InstanceLog:
    """The log of one instance: `<name>.log` and its archives `<name>.log.<offset>`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> int:
        """A file descriptor to append to; the caller closes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def archives(self) -> list[Path]:
        """Oldest first."""
        found = self.path.parent.glob(f"{self.path.name}.*")
        return sorted(path for path in found if path.suffix[1:].isdigit())

    def begin(self) -> int:
        """The offset at which the file's own content begins: all before lies in archives."""
        archives = self.archives()
        return int(archives[-1].suffix[1:]) + archives[-1].stat().st_size if archives else 0

    def size(self) -> int:
        """The offset of the end; 0 when there is no file."""
        return _size(self.path)

    def rotate(self, *, limit: int = LIMIT, keep: int = KEEP) -> bool:
        """Archive all whole lines if there are more than `limit` bytes; keep the newest `keep` archives. A line that
        is longer than `BLOCK` is cut: else one without an end would fill the disk.

        Does nothing where the system cannot make holes; then the file grows. Returns whether it did.
        """
        begin = self.begin()
        if self.size() - begin <= limit or not _punch_possible():
            return False
        with self.path.open("r+b") as file:
            end = _last_line_end(file.fileno(), begin, self.size())
            if end <= begin:
                return False
            archive = self.path.with_name(f"{self.path.name}.{begin:015d}")
            staged = archive.with_suffix(".new")
            with staged.open("wb") as copy:
                offset = begin
                while offset < end:
                    content = os.pread(file.fileno(), min(BLOCK, end - offset), offset)
                    copy.write(content)
                    offset += len(content)
            staged.replace(archive)
            _punch(file.fileno(), end)
        for old in self.archives()[:-keep]:
            old.unlink(missing_ok=True)
        return True

    def tail(self, lines: int) -> tuple[list[str], int]:
        """The last `lines` lines, oldest first, and the offset behind them, for `since`."""
        end = self.size()
        begin = min(self.begin(), end)
        text = _tail(self.path, begin, end, lines)
        for archive in reversed(self.archives()):
            if len(text) >= lines:
                break
            text = _tail(archive, 0, _size(archive), lines - len(text)) + text
        return text, end

    def since(self, offset: int) -> tuple[list[str], int]:
        """Whole lines written after `offset` (one that a former call gave), and the offset behind them."""
        while True:
            begin = self.begin()
            content, reached = self._read(offset)
            if self.begin() == begin:  # else it was archived under our hands: read again
                break
        whole, end, rest = content.rpartition(b"\n")
        if len(rest) >= BLOCK:  # waiting for its end could take for ever
            return _lines(content), reached
        return (_lines(whole) if end else []), reached - len(rest)

    def _read(self, offset: int) -> tuple[bytes, int]:
        content = b""
        for archive in self.archives():  # what was archived is a hole in the file
            start = int(archive.suffix[1:])
            end = start + _size(archive)
            if end > offset:
                offset = max(offset, start)  # archives that went meanwhile are passed over
                with archive.open("rb") as file:
                    piece = os.pread(file.fileno(), end - offset, offset - start)
                content += piece
                offset += len(piece)
        end = self.size()
        if end > offset:
            with self.path.open("rb") as file:
                piece = os.pread(file.fileno(), min(end - offset, 16 * BLOCK), offset)
            content += piece
            offset += len(piece)
        return content, offset

    def remove(self) -> None:
        """The file and its archives."""
        for path in [*self.archives(), self.path]:
            path.unlink(missing_ok=True)


def rotate_by_name(path: Path, *, limit: int = LIMIT, keep: int = KEEP) -> bool:
    """Rename a file whose writer can be told to open another: `access.log` to `access.log.1` and so on.

    Returns whether it did; then the writer has to be told.
    """
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
    return True


def _tail(path: Path, begin: int, end: int, lines: int) -> list[str]:
    if not path.exists():
        return []
    blocks: list[bytes] = []
    ends, since_end = 0, 0  # of lines; bytes before the last of them
    with path.open("rb") as file:
        while end > begin and ends <= lines and since_end < BLOCK:
            start = max(begin, end - LONGEST)
            blocks.append(os.pread(file.fileno(), end - start, start))
            found = blocks[-1].count(b"\n")
            ends, since_end = ends + found, 0 if found else since_end + end - start
            end = start
    content = b"".join(reversed(blocks))
    return _lines(content.removesuffix(b"\n"))[-lines:] if content and lines else []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _lines(content: bytes) -> list[str]:
    return [line[:LONGEST].decode(errors="replace").removesuffix("\r") for line in content.split(b"\n")]


def _last_line_end(descriptor: int, begin: int, end: int) -> int:
    """The offset behind the last line that ended; `end` itself in the middle of one that is longer than `BLOCK`."""
    start = max(begin, end - BLOCK)
    position = os.pread(descriptor, end - start, start).rfind(b"\n")
    if position >= 0:
        return start + position + 1
    return begin if start == begin else end


def _punch_possible() -> bool:
    return sys.platform == "linux"


def _punch(descriptor: int, end: int) -> None:
    """Give the bytes before `end` back to the file system; the file's size stays.

    A file system that cannot do it keeps them: the disk space is lost, no line is.
    """
    import ctypes  # noqa: PLC0415 - 10 ms, and needed at the first rotation only

    keep_size_and_punch = 0x01 | 0x02
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    fallocate(descriptor, keep_size_and_punch, 0, end)
