"""What only a cluster has: all that `kubernetes:` of a manifest says about one component in one environment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Exposure(StrEnum):
    """How people outside the cluster reach an entry. INSIDE: they do not."""

    INSIDE = "inside"
    NODE_PORT = "node-port"
    LOAD_BALANCER = "load-balancer"
    INGRESS = "ingress"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Autoscale:
    """Between `least` and `most` instances, so that they use `cpu` per cent of what they requested."""

    least: int
    most: int
    cpu: int = 80


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name and port under which the entry of a component is reached inside the cluster."""

    name: str
    port: int = 80


@dataclass(frozen=True, slots=True)
class Patch:
    """A change to every object of one kind that is made for the component: `patch` is a JSON merge patch (RFC 7396) as
    canonical JSON text."""

    kind: str
    patch: str


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """Part of a component's shape where it runs on Kubernetes. `requests` and `limits` are quantities by resource
    (`cpu`, `memory`, …), sorted by name. `host` is the name that an ingress or gateway answers to, `via` the ingress
    class or the gateway (`NAMESPACE/NAME`), "" for the cluster's default. `writable` are folders that instances may
    write to, absolute and sorted; they begin empty, and all else is read-only.
    """

    requests: tuple[tuple[str, str], ...] = (("cpu", "50m"), ("memory", "64Mi"))
    limits: tuple[tuple[str, str], ...] = (("memory", "512Mi"),)
    expose: Exposure = Exposure.INSIDE
    host: str = ""
    via: str = ""
    writable: tuple[str, ...] = ()
    autoscale: Autoscale | None = None
    aliases: tuple[Alias, ...] = ()
    patches: tuple[Patch, ...] = ()


def cluster_to_json(shape: ClusterShape) -> dict[str, Any]:
    """Every field by its name."""
    scale = shape.autoscale
    return {
        "requests": dict(shape.requests),
        "limits": dict(shape.limits),
        "expose": shape.expose.value,
        "host": shape.host,
        "via": shape.via,
        "writable": list(shape.writable),
        "autoscale": None if scale is None else {"least": scale.least, "most": scale.most, "cpu": scale.cpu},
        "aliases": [{"name": alias.name, "port": alias.port} for alias in shape.aliases],
        "patches": [{"kind": patch.kind, "patch": patch.patch} for patch in shape.patches],
    }
