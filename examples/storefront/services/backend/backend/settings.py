"""What differs from environment to environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`notice` is one sentence about the prices, shown beside them."""

    notice: str = "Prices without a promise: started alone, without settings."


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers; the values that Tidegate gives to every instance."""

    release: str
    environment: str
    instance: str


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """The file named by TIDEGATE_SETTINGS, or the defaults. Raises ValueError if the file says nonsense."""
    path = env.get("TIDEGATE_SETTINGS")
    if not path:
        return Settings()
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("notice"), str):
        raise ValueError(f'{path}: "notice" must be a text')
    return Settings(notice=content["notice"])


def identity(env: Mapping[str, str] = os.environ) -> Identity:
    """Read from TIDEGATE_RELEASE, TIDEGATE_ENVIRONMENT and TIDEGATE_INSTANCE."""
    return Identity(
        release=env.get("TIDEGATE_RELEASE", "unreleased"),
        environment=env.get("TIDEGATE_ENVIRONMENT", "none"),
        instance=env.get("TIDEGATE_INSTANCE", "alone"),
    )
