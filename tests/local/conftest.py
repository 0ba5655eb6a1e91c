"""Every test here gets a project of its own, with a registry and a run-time folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.local.worlds import World, world


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio."""
    return "asyncio"


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    """A project; whatever a test leaves running there is ended."""
    async with world() as made:
        yield made
