"""A real gateway for each test, in folders of its own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidegate.drivers.local.gateway import Gateway


@dataclass(frozen=True)
class Place:
    """Where a gateway lives. `sockets` has a short path; pytest's own folders are too long for a socket."""

    folder: Path
    sockets: Path

    def access_log(self, environment: str) -> Path:
        return self.folder / "logs" / environment / "access.log"

    def gateway(self) -> Gateway:
        return Gateway(self.folder / "gateway", self.sockets, self.access_log)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="tg-") as sockets:
        yield Place(tmp_path, Path(sockets))


@pytest.fixture
async def gateway(place: Place) -> AsyncIterator[Gateway]:
    gateway = place.gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()
