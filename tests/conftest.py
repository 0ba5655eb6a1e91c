"""What all tests share."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import postgres  # noqa: F401 - a fixture, for all tests


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short path: unix sockets have room for about a hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much the fault tests tried: what they recorded as `tried: WHAT`."""
    tried: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, number in report.user_properties:
            if name.startswith("tried: "):
                tried[name.removeprefix("tried: ")] += int(number)
    for what, number in sorted(tried.items()):
        terminalreporter.write_line(f"{what}: {number}")
