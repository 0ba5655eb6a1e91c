"""Groups to make objects of."""

from __future__ import annotations

from typing import Any

from tidegate.drivers.kubernetes.objects.group import group_objects
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.model.address import GroupAddress
from tidegate.model.cluster import ClusterShape
from tidegate.model.component import Health, HealthKind, Kind, Release, Runtime
from tidegate.model.pins import Pin, Shape, Value

Json = dict[str, Any]
PROXY = "registry.acme.example/envoy@sha256:" + "e" * 64
NAMESPACE = "acme-stage"
HTTP = Health(HealthKind.HTTP, "/healthz", interval=1500, timeout=500, failures=4)


def source(
    component: str = "frontend",
    *,
    kind: Kind = Kind.SERVICE,
    replicas: int = 1,
    env: tuple[tuple[str, Value], ...] = (),
    settings: bytes | None = None,
    cluster: ClusterShape | None = None,
    health: Health = HTTP,
    run: str = "serve --port $PORT",
    needs: tuple[str, ...] = (),
    data: bool = False,
    port: int | None = None,
    drain: int = 10_000,
    grace: int = 3_000,
    image: str = "registry.acme.example/frontend@sha256:" + "f" * 64,
) -> GroupSource:
    runtime = Runtime(run, health=health, needs=needs, data=data, port=port, drain=drain, grace=grace)
    release = Release("sha256:" + "a" * 64, component, kind, "web", runtime)
    shape = Shape(replicas, cluster is not None, env, cluster=cluster or ClusterShape())
    pin = Pin(release.digest, "sha256:" + "b" * 64 if settings is not None else "", shape)
    group = GroupAddress("stage", component, 44)
    edges = {need: GroupAddress("stage", need, 43) for need in needs}
    return GroupSource(group, pin, release, image, settings, edges, organization="acme")


def made(of: GroupSource, kind: str, *, proxy: str = "") -> Json | None:
    """The object of this kind, None if none is made."""
    found = [each for each in group_objects(NAMESPACE, of, proxy=proxy) if each["kind"] == kind]
    assert len(found) <= 1
    return found[0] if found else None


def deployment(of: GroupSource, *, proxy: str = "") -> Json:
    found = made(of, "Deployment", proxy=proxy)
    assert found is not None
    return found


def pod(of: GroupSource, *, proxy: str = "") -> Json:
    found: Json = deployment(of, proxy=proxy)["spec"]["template"]["spec"]
    return found


def program(of: GroupSource, *, proxy: str = "") -> Json:
    found: Json = pod(of, proxy=proxy)["containers"][0]
    return found


def variables(container: Json) -> Json:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
