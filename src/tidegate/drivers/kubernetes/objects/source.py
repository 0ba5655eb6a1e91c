"""What a group is made of: everything that was resolved before its objects are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.drivers.kubernetes.names import PORT
from tidegate.model.address import GroupAddress
from tidegate.model.cluster import Alias, ClusterShape
from tidegate.model.component import Kind, Release
from tidegate.model.pins import Pin


@dataclass(frozen=True)
class GroupSource:
    """`image` is pulled by digest. `settings` is the content of the settings file, None for none. `edges` say where
    each need leads at birth. `resources` are the addresses of those that run here, by name. `aliases` are, by need, the
    other names of the needed component; `addresses`, by need, the ClusterIP of its edge as far as it is known: under
    it the other names lead where the edge leads.
    """

    group: GroupAddress
    pin: Pin
    release: Release
    image: str
    settings: bytes | None = None
    edges: Mapping[str, GroupAddress | None] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    organization: str = ""
    aliases: Mapping[str, tuple[Alias, ...]] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> ClusterShape:
        """What the pin says of the cluster; what holds if it says nothing."""
        return self.pin.shape.cluster or ClusterShape()

    @property
    def port(self) -> int:
        """Where the program listens; 0 for what is no service."""
        if self.release.kind is not Kind.SERVICE:
            return 0
        return self.release.runtime.port or PORT

    def proxied(self, proxy: str) -> bool:
        """Whether a proxy (its image, "" for none) stands before each instance."""
        return bool(proxy) and self.release.kind is Kind.SERVICE
