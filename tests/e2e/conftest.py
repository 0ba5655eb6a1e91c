"""A checkout for each test, and nothing left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.checkout import Checkout


@pytest.fixture
def anyio_backend() -> str:
    """Subprocesses and WebSockets are asyncio's here."""
    return "asyncio"


@pytest.fixture
async def checkout(short_tmp: Path) -> AsyncIterator[Checkout]:
    """A project with nothing in it; everything it started is ended afterwards, also when a test fails."""
    made = Checkout.at(short_tmp)
    yield made
    await made.end()
