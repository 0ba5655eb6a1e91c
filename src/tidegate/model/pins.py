"""Pins and revisions: what an environment is meant to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tidegate.model.cluster import ClusterShape, cluster_to_json
from tidegate.model.component import Health, health_to_json
from tidegate.model.digest import digest


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret, such as `env:NAME`, `file:PATH` or, on Kubernetes, `kubernetes:SECRET/KEY`; never its
    value."""

    reference: str


Value = str | Secret


@dataclass(frozen=True)
class Resource:
    """A resource that the environment runs itself: given to components, released by nobody, never undone.

    `run` starts it; it sees PORT, and DATA (a folder that outlives it) where `data` is set. `url` is what components
    get as `<NAME>_URL`, with $PORT in it, and $HOST where it may run at another address than 127.0.0.1. `grace` in
    milliseconds. `image` is what it runs in where that takes one, pinned by digest.
    """

    run: str
    url: str
    health: Health = field(default_factory=Health)
    data: bool = False
    grace: int = 10_000
    image: str = ""

    @cached_property
    def identity(self) -> str:
        """Names everything that it is."""
        named = [self.run, self.url, health_to_json(self.health), self.data, self.grace]
        return digest("resource", [*named, self.image] if self.image else named)


@dataclass(frozen=True)
class Shape:
    """All that was resolved for one component in one environment, apart from release and settings.

    `env` is sorted by name; a resource that is a URL here is a variable in it. `exposed` components are shown to
    people with an address of their own. `resources` are those it uses that the environment runs, sorted by name.
    `cluster` is what else was resolved where the environment is on Kubernetes, None elsewhere.
    """

    replicas: int = 1
    exposed: bool = False
    env: tuple[tuple[str, Value], ...] = ()
    resources: tuple[tuple[str, Resource], ...] = ()
    cluster: ClusterShape | None = None


@dataclass(frozen=True)
class Pin:
    """What one component is meant to be in one environment. `settings` is the digest of a blob, "" for none."""

    release: str
    settings: str
    shape: Shape

    @cached_property
    def digest(self) -> str:
        """Names everything the pin says."""
        named: list[Any] = [self.identity, self.shape.replicas, self.shape.exposed]
        if self.shape.resources:
            named.append([[name, resource.identity] for name, resource in self.shape.resources])
        return digest("pin", named)

    @cached_property
    def identity(self) -> str:
        """Names what its processes are: release, settings, environment variables, the addresses of resources, and all
        that a cluster is told of them.

        An instance group is labelled with this. How many instances there are and who may look at them can
        change while the group lives, so replicas and exposure are not part of it.
        """
        env = [
            [name, {"secret": value.reference} if isinstance(value, Secret) else value]
            for name, value in self.shape.env
        ]
        named: list[Any] = [self.release, self.settings, env]
        if self.shape.resources:
            named.append([[name, resource.url] for name, resource in self.shape.resources])
        if self.shape.cluster is not None:
            named.append(cluster_to_json(self.shape.cluster))
        return digest("group", named)


Pins = Mapping[str, Pin]  # component -> pin


def revision_name(environment: str, number: int) -> str:
    """`prod@42`; "" for 0, which is none."""
    return f"{environment}@{number}" if number else ""


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
        return revision_name(self.environment, self.number)
