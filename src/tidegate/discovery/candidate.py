"""What is known of a component that might be proposed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
_WITH_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s$]+@")  # postgres://app:password@db


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


def looks_secret(variable: str, value: str) -> bool:
    """Whether the value of a variable is probably nobody else's business: its name or a password in it says so."""
    return bool(_SECRET.search(variable) or _WITH_PASSWORD.search(value))
