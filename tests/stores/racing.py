"""Starts processes that use one store at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RACER = Path(__file__).with_name("racer.py")


def racer(where: str | Path, *arguments: str) -> subprocess.Popen[str]:
    """Says `ready`, and begins when it reads a line."""
    return subprocess.Popen(
        [sys.executable, str(RACER), str(where), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def let_go(racers: list[subprocess.Popen[str]]) -> list[str]:
    """All at the same moment, when each of them is ready; what they say in the end."""
    for process in racers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in racers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].strip() for process in racers]
    assert [process.returncode for process in racers] == [0] * len(racers)
    return said
