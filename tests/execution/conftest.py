"""An empty environment for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.execution.places import Environment, Still
from tidegate.stores.sql import SqlStore


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio."""
    return "asyncio"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Environment]:
    """An empty environment."""
    clock = Still()
    store = SqlStore.open(tmp_path / "store.db", clock)
    yield Environment(store, clock)
    await store.close()
