"""Secrets: resolved when a process starts, never written anywhere."""

from __future__ import annotations

from typing import Protocol

from tidegate.model.pins import Secret


class Secrets(Protocol):
    """Turns a reference into its value."""

    def resolve(self, secret: Secret) -> str:
        """Raises `SecretError`, which names the reference and never a value."""
        ...
