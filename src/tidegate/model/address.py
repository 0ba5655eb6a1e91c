"""Addresses: what a group, an instance, an entry and an edge are called."""

from __future__ import annotations

import re
from dataclasses import dataclass


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
