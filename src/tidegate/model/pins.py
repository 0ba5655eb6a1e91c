"""Pins and revisions: what an environment is meant to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tidegate.model.digest import digest


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret, such as `env:NAME` or `file:PATH`; never its value."""

    reference: str


Value = str | Secret


@dataclass(frozen=True)
class Shape:
    """All that was resolved for one component in one environment, apart from release and settings.

    `env` is sorted by name. `exposed` components are shown to people with an address of their own.
    """

    replicas: int = 1
    exposed: bool = False
    env: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Pin:
    """What one component is meant to be in one environment. `settings` is the digest of a blob, "" for none."""

    release: str
    settings: str
    shape: Shape

    @cached_property
    def digest(self) -> str:
        """Names everything the pin says."""
        return digest("pin", [self.identity, self.shape.replicas, self.shape.exposed])

    @cached_property
    def identity(self) -> str:
        """Names what its processes are: release, settings and environment variables.

        An instance group is labelled with this. How many instances there are and who may look at them can
        change while the group lives, so replicas and exposure are not part of it.
        """
        env = [
            [name, {"secret": value.reference} if isinstance(value, Secret) else value]
            for name, value in self.shape.env
        ]
        return digest("group", [self.release, self.settings, env])


Pins = Mapping[str, Pin]  # component -> pin


@dataclass(frozen=True)
class Revision:
    """One committed, immutable state of an environment. `parent` 0 means: there was none before."""

    environment: str
    number: int
    parent: int
    pins: Pins
    plan: str
    by: str
    why: str
    at: float

    @property
    def name(self) -> str:
        """`prod@42`."""
        return f"{self.environment}@{self.number}"
