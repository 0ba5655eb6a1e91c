"""Addresses: what a group, an instance, an entry and an edge are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidegate.model.component import RunKind
from tidegate.model.digest import short


def url_variable(component: str) -> str:
    """The environment variable that holds the address of a component: `CATALOG_DB_URL` for `catalog-db`."""
    return re.sub(r"[^A-Za-z0-9]", "_", component).upper() + "_URL"


@dataclass(frozen=True, slots=True, order=True)
class GroupAddress:
    """An instance group: a pin made real. `born` is the number of the revision that first wanted it."""

    environment: str
    component: str
    born: int

    @property
    def name(self) -> str:
        """`backend-r44`: unique within its environment."""
        return f"{self.component}-r{self.born}"

    def __str__(self) -> str:
        return f"{self.environment}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class EdgeAddress:
    """One need of one group: an address that never changes while the group lives."""

    group: GroupAddress
    need: str

    def __str__(self) -> str:
        return f"{self.group}->{self.need}"


@dataclass(frozen=True, slots=True, order=True)
class RunAddress:
    """A command of a release that runs to its end in an environment.

    `turn` is the number of the claim that asked for it where each time is another run (tasks), 0 where it runs once
    for the release.
    """

    environment: str
    component: str
    release: str
    what: RunKind
    turn: int = 0

    @property
    def name(self) -> str:
        """`orders-before-1a2b3c4d`, `seed-task-12`: unique within its environment."""
        return f"{self.component}-{self.what.value}-{self.turn or short(self.release)}"

    def __str__(self) -> str:
        return f"{self.environment}/{self.name}"
