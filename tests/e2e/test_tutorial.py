"""The tutorial is true: every block of it is run, in order, and what it prints is compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"  # exit status (\d+)$")


@dataclass(frozen=True)
class Command:
    """One line behind `$`, the exit status that the text names (0 otherwise), and the lines that it shows."""

    text: str
    status: int
    shown: str


def commands(block: str) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        status = STATUS.search(line)
        yield Command(STATUS.sub("", line), int(status[1]) if status else 0, shown.strip("\n"))


def expected(shown: str) -> re.Pattern[str]:
    """`…` stands for anything: in a line for a part of it, alone for any number of lines."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n"
        for line in shown.splitlines()
    ]
    return re.compile("".join(lines))


@pytest.fixture
def surroundings(tmp_path: Path, short_tmp: Path) -> Iterator[dict[str, str]]:
    """An environment in which `tidegate` is this one, and nothing of the user's is touched."""
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TIDEGATE_STATE_DIR": str(short_tmp / "state"),
        "TIDEGATE_RUNTIME_DIR": str(short_tmp / "run"),
        "COLUMNS": "100",
    }
    yield env
    subprocess.run(["tidegate", "down", "--all", "--yes"], cwd=tmp_path, env=env, check=False, capture_output=True)


def test_every_step_of_the_tutorial_works_as_it_says(tmp_path: Path, surroundings: dict[str, str]) -> None:
    """Files are written, commands run, outputs and exit statuses compared."""
    ran = 0
    for language, title, body in BLOCK.findall(TUTORIAL.read_text()):
        if language != "console":
            file = tmp_path / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body)
            continue
        for command in commands(body):
            done = subprocess.run(
                ["/bin/sh", "-c", command.text],
                cwd=tmp_path,
                env=surroundings,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )
            printed = f"$ {command.text}\n{done.stdout}"
            assert done.returncode == command.status, printed
            if command.shown:
                assert expected(command.shown).fullmatch(done.stdout), printed
            ran += 1
    assert ran > 15
