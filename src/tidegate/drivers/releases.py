"""What drivers look up while they carry out steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.model.component import Artifact, Release


class ReleaseSource(Protocol):
    """Where releases are looked up; the store is one."""

    async def release(self, digest: str) -> Release:
        """Raises `NotInStore`."""
        ...

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        """All artifacts of a release."""
        ...

    async def blob(self, digest: str) -> bytes:
        """Raises `NotInStore`."""
        ...
