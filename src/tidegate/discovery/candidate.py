"""What is known of a component that might be proposed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """A component to be proposed. `folder` is relative to the root, "." for the root.

    `env` values are texts or `{"secret": REFERENCE}`. `reads` are the variables `…_URL` that its sources ask for.
    `expose` is None where nothing says it. `why` says which files it was read from, `unknown` what a person has to
    decide.
    """

    name: str
    folder: str
    run: str
    build: str = ""
    port: int | None = None
    health: str = ""
    needs: tuple[str, ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    expose: bool | None = None
    why: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def component_name(text: str) -> str:
    """The nearest name that a component can have; "app" if nothing is left."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = re.sub(r"^[^a-z]+", "", name)[:40].strip("-")
    return name or "app"
