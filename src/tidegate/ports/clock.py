"""Time, injected."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall time and waiting."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
