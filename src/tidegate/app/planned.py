"""A plan with all that is needed to explain and to apply it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.model.component import Release
from tidegate.model.observed import Observed
from tidegate.model.pins import Pins
from tidegate.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with all that is needed to explain and to apply it.

    `unbuilt` are components whose release has no artifact yet; `elsewhere` components that the environment has
    and this checkout has not (they stay). `notes` are what there is to say besides, a sentence or two each.
    """

    plan: Plan
    current: Pins
    wanted: Pins
    observed: Observed
    releases: Mapping[str, Release]
    settings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    unbuilt: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
