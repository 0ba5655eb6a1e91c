"""Artifacts: where releases lie, built, whole and ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tidegate.model.component import Artifact


class Artifacts(Protocol):
    """Artifacts of the format that a target runs."""

    async def verify(self, artifact: Artifact) -> Path:
        """The folder the artifact lies in, after every file was compared with what was built.

        Raises `ArtifactDamaged` if it is missing or differs.
        """
        ...

    async def remove(self, artifact: Artifact) -> None:
        """Delete it; harmless when it is gone."""
        ...

    async def present(self) -> Sequence[str]:
        """Digests of the releases that have a complete artifact here."""
        ...
