"""What differs from environment to environment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Settings:
    """`banner` is the name over the page, `note` the sentence below it, `colour` (#rrggbb) is behind both.

    White text stands on the colour, so it has to be dark.
    """

    banner: str = "Storefront – on its own"
    note: str = "Started alone, without settings."
    colour: str = "#3d4a57"


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
    if not isinstance(content, dict):
        raise ValueError(f"{path}: settings are an object")
    try:
        found = Settings(**content)
    except TypeError as error:
        raise ValueError(f"{path}: knows banner, note and colour only") from error
    for name, value in asdict(found).items():
        if not isinstance(value, str):
            raise ValueError(f'{path}: "{name}" must be a text')
    # It goes into the style sheet as it is.
    if not COLOUR.fullmatch(found.colour):
        raise ValueError(f'{path}: "colour" must look like #14508c')
    return found


def identity(env: Mapping[str, str] = os.environ) -> Identity:
    """Read from TIDEGATE_RELEASE, TIDEGATE_ENVIRONMENT and TIDEGATE_INSTANCE."""
    return Identity(
        release=env.get("TIDEGATE_RELEASE", "unreleased"),
        environment=env.get("TIDEGATE_ENVIRONMENT", "none"),
        instance=env.get("TIDEGATE_INSTANCE", "alone"),
    )
