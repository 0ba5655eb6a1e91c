"""What is checked in these modules tells why it fails."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.faults.rest", "tests.faults.real")


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio."""
    return "asyncio"
