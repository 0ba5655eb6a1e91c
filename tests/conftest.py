"""What all tests share."""

from __future__ import annotations

import shutil
import tempfile
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
