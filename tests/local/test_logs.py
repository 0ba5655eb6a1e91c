"""Logs are written by the instances themselves, and rotating them loses no line."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.drivers.local.logs import InstanceLog, rotate_by_name

LINES = 400_000
BURST = f"""
import sys
for number in range({LINES}):
    sys.stdout.write("line %d of a burst that is long enough to matter\\n" % number)
    if number % 50 == 0:
        sys.stdout.flush()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can give back the head of a file")
def test_a_burst_over_many_rotations_loses_no_line(tmp_path: Path) -> None:
    """400,000 lines, written while the log is archived again and again; the disk space stays bounded."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    followed: list[str] = []
    position, rotations = 0, [0]
    with open(log.open(), "wb") as output:  # noqa: PTH123 - it is a file descriptor
        writer = subprocess.Popen([sys.executable, "-I", "-S", "-c", BURST], stdout=output)
    rotating = threading.Thread(target=lambda: rotations.extend(rotate_until_ended(log, writer)))
    rotating.start()
    while rotating.is_alive():
        lines, position = log.since(position)
        followed += lines
    rotating.join()
    followed += log.since(position)[0]
    expected = [f"line {number} of a burst that is long enough to matter" for number in range(LINES)]
    assert sum(rotations) > 5
    archived = b"".join(archive.read_bytes() for archive in log.archives())
    rest = log.path.read_bytes()[log.begin() :]
    assert (archived + rest).decode().splitlines() == expected
    assert followed == expected
    assert log.path.stat().st_blocks * 512 < 1_500_000


def test_the_last_lines_are_found_across_archives(tmp_path: Path) -> None:
    """Oldest first, as many as were asked for."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    for start in (0, 10, 20):
        append(log, [f"line {number}" for number in range(start, start + 10)])
        if start < 20:
            log.rotate(limit=10)
    assert log.tail(25)[0] == [f"line {number}" for number in range(5, 30)]
    assert log.tail(3)[0] == ["line 27", "line 28", "line 29"]
    assert log.tail(0)[0] == []
    assert len(log.tail(1000)[0]) == 30


def test_only_the_newest_archives_are_kept(tmp_path: Path) -> None:
    """What is older than that goes."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    for number in range(6):
        append(log, [f"line {number}"])
        log.rotate(limit=1, keep=2)
    assert [archive.read_text() for archive in log.archives()] == ["line 4\n", "line 5\n"]
    assert log.tail(10)[0] == ["line 4", "line 5"]
    log.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_is_not_finished_waits_for_its_end(tmp_path: Path) -> None:
    """Neither archived nor followed in halves."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    append(log, ["whole", "half"], end="")
    log.rotate(limit=1)
    assert [archive.read_text() for archive in log.archives()] == ["whole\n"]
    lines, position = log.since(0)
    assert lines == ["whole"]
    append(log, [" and half"])
    assert log.since(position)[0] == ["half and half"]


def test_a_line_without_an_end_is_shown_cut_and_archived(tmp_path: Path) -> None:
    """A program that prints 40 MB and no line end neither stops those who look at its log nor fills the disk."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    append(log, ["first", "x" * 40_000_000], end="")
    lines, _ = log.tail(15)
    assert {line[:3] for line in lines} == {"xxx"}
    assert sum(len(line) for line in lines) <= 64 * 1024
    position, followed = 0, []
    while position < log.size():
        lines, position = log.since(position)
        followed += lines
    assert followed[0] == "first"
    assert max(len(line) for line in followed) == 64 * 1024
    if sys.platform == "linux":
        assert log.rotate()
        assert log.begin() == log.size()
        assert log.path.stat().st_blocks * 512 < 100_000
    append(log, ["", "next"])
    assert log.tail(1)[0] == ["next"]


def test_an_empty_line_is_a_line(tmp_path: Path) -> None:
    """Also when it is all that came."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    append(log, [""])
    assert log.since(0)[0] == [""]


def test_what_was_followed_before_a_rotation_is_not_followed_again(tmp_path: Path) -> None:
    """And what was written before it, and not yet read, is read from the archive."""
    log = InstanceLog(tmp_path / "backend-r1.0.log")
    append(log, ["one"])
    _, position = log.since(0)
    append(log, ["two"])
    log.rotate(limit=1)
    append(log, ["three"])
    assert log.since(position)[0] == ["two", "three"]


def test_an_access_log_is_renamed(tmp_path: Path) -> None:
    """Its writer can be told to go on in another file."""
    log = tmp_path / "access.log"
    for number in range(4):
        log.write_text(f"{number}")
        assert rotate_by_name(log, limit=0, keep=2)
        assert not rotate_by_name(log, limit=0)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"access.log.1": "3", "access.log.2": "2"}


def rotate_until_ended(log: InstanceLog, writer: subprocess.Popen[bytes]) -> Iterator[int]:
    """As the agent does, but more often; one more time after the end."""
    ended = False
    while not ended:
        ended = writer.poll() is not None
        yield log.rotate(limit=200_000, keep=1000)


def append(log: InstanceLog, lines: list[str], end: str = "\n") -> None:
    with open(log.open(), "a", encoding="utf-8") as file:  # noqa: PTH123 - it is a file descriptor
        file.write("\n".join(lines) + end)
