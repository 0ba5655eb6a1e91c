"""A workload on its way to a component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.objects import Object
from tidegate.model.cluster import Autoscale, Exposure
from tidegate.model.component import Kind


@dataclass(eq=False)
class Draft:
    """What is known of a component. Each step of the import fills in its part.

    `words` are texts that may name Services: values of variables, the command, its arguments. `aliases`: name of a
    Service -> port. `patches`: kind of object -> merge patch. `selected_by` are names of all Services that lead here.
    """

    workload: Object
    name: str
    kind: Kind
    pod: Cursor
    container: Cursor
    labels: Mapping[str, str]
    image: str
    ports: Mapping[str, int]
    port: int | None = None
    replicas: int = 1
    run: str = ""
    words: list[tuple[str, str]] = field(default_factory=list)
    health: Any = None
    env: dict[str, Any] = field(default_factory=dict)
    needs: set[str] = field(default_factory=set)
    selected_by: list[str] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    expose: Exposure = Exposure.INSIDE
    host: str = ""
    via: str = ""
    autoscale: Autoscale | None = None
    requests: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    writable: list[str] = field(default_factory=list)
    patches: dict[str, Any] = field(default_factory=dict)
    data: bool = False
    overlap: bool = True
    grace: int | None = None
    retry: bool = False
    timeout: int | None = None

    @property
    def file(self) -> str:
        """Where its manifest is proposed."""
        return f"{self.name}/{self.kind}.yaml"

    def patch(self, kind: str, *path: str, **values: Any) -> None:
        """Add to the merge patch of the objects of a kind, at `path` below `spec`."""
        place = self.patches.setdefault(kind, {}).setdefault("spec", {})
        for key in path:
            place = place.setdefault(key, {})
        place.update(values)
