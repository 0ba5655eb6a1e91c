"""How long to wait before a restart. Pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 0.1
LONGEST = 30.0
STABLE = 10.0
LOOPING = 3


@dataclass
class Backoff:
    """Doubles from 0.1 s to 30 s, and begins anew only after an instance was healthy for 10 s without a break.

    Times are seconds of any clock that only goes forward.
    """

    crashes: int = 0

    def crashed(self, now: float, healthy_since: float | None) -> float:
        """Count a crash and say how many seconds to wait before the next start."""
        self._forgive(now, healthy_since)
        self.crashes += 1
        return min(FIRST * 2.0 ** min(self.crashes - 1, 16), LONGEST)

    def looping(self, now: float, healthy_since: float | None) -> bool:
        """Whether it crashed three times without a stable period in between."""
        self._forgive(now, healthy_since)
        return self.crashes >= LOOPING

    def reset(self) -> None:
        """Somebody asks for a start: try at once."""
        self.crashes = 0

    def _forgive(self, now: float, healthy_since: float | None) -> None:
        if healthy_since is not None and now - healthy_since >= STABLE:
            self.crashes = 0
