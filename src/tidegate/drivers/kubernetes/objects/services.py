"""Entries and edges: Services that are moved by their selector, and what leads people to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.drivers.kubernetes.names import (
    ALIAS,
    EDGE,
    ENTRY,
    EXACT,
    GROUP_ADDRESS,
    HOST,
    LEADS_TO,
    SERVICE_PORT,
    TARGET_PORT,
    component_name,
    edge_name,
    group_to_json,
    instances_of,
    labels,
    to_text,
)
from tidegate.drivers.kubernetes.objects.environment import exposed_policy
from tidegate.drivers.kubernetes.objects.metadata import new, patched
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.cluster import Alias, ClusterShape, Exposure
from tidegate.model.pins import Pin

Json = dict[str, Any]
_TYPES = {Exposure.NODE_PORT: "NodePort", Exposure.LOAD_BALANCER: "LoadBalancer"}


def edge_object(
    namespace: str,
    edge: EdgeAddress,
    to: GroupAddress | None,
    port: int | str = TARGET_PORT,
    aliases: Iterable[Alias] = (),
) -> Json:
    """The Service of an edge. `port` is that of the instances it leads to, `aliases` the other names of the needed
    component: their ports are those of the edge as well."""
    group = edge.group
    own = labels(group.environment, component=group.component, group=group.name, role=EDGE, need=edge.need)
    annotations = {EXACT: edge.need, GROUP_ADDRESS: to_text(group_to_json(group)), LEADS_TO: _to(to)}
    ports = _ports((SERVICE_PORT, *(alias.port for alias in aliases)), port)
    spec = {"type": "ClusterIP", "ports": ports, "selector": instances_of(to)}
    return new("v1", "Service", namespace, edge_name(edge), own, annotations=annotations, spec=spec)


def entry_objects(namespace: str, component: str, to: GroupAddress, pin: Pin) -> list[Json]:
    """The Service of an entry, those of its other names, and, where the pin wants one, the Ingress or HTTPRoute and
    the NetworkPolicy that lets everybody in."""
    cluster = pin.shape.cluster or ClusterShape()
    name = component_name(component)
    own = [alias.port for alias in cluster.aliases if alias.name == name]
    annotations = {HOST: cluster.host} if cluster.expose in {Exposure.INGRESS, Exposure.GATEWAY} else {}
    ports = (SERVICE_PORT, *own)
    entry = _entry(namespace, component, to, name=name, role=ENTRY, ports=ports, annotations=annotations)
    entry["spec"]["type"] = _TYPES.get(cluster.expose, "ClusterIP")
    objects = [entry]
    for other in dict.fromkeys(alias.name for alias in cluster.aliases):
        if other != name:
            ports = tuple(alias.port for alias in cluster.aliases if alias.name == other)
            objects.append(_entry(namespace, component, to, name=other, role=ALIAS, ports=ports))
    if pin.shape.exposed or cluster.expose is not Exposure.INSIDE:
        objects.append(exposed_policy(namespace, to.environment, component))
    match cluster.expose:
        case Exposure.INGRESS:
            objects.append(_ingress(namespace, name, component, to.environment, cluster))
        case Exposure.GATEWAY:
            objects.append(_route(namespace, name, component, to.environment, cluster))
        case _:
            pass
    return patched(objects, cluster.patches, component)


def _entry(
    namespace: str,
    component: str,
    to: GroupAddress,
    *,
    name: str,
    role: str,
    ports: Iterable[int],
    annotations: Mapping[str, str] | None = None,
) -> Json:
    own = labels(to.environment, component=component, role=role)
    spec = {"type": "ClusterIP", "ports": _ports(ports, TARGET_PORT), "selector": instances_of(to)}
    said = {EXACT: component, LEADS_TO: _to(to), **(annotations or {})}
    return new("v1", "Service", namespace, name, own, annotations=said, spec=spec)


def _ports(ports: Iterable[int], target: int | str) -> list[Json]:
    return [
        {
            "name": "http" if port == SERVICE_PORT else f"http-{port}",
            "port": port,
            "protocol": "TCP",
            "targetPort": target,
        }
        for port in dict.fromkeys(ports)
    ]


def _ingress(namespace: str, name: str, component: str, environment: str, cluster: ClusterShape) -> Json:
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    rule = {
        "host": cluster.host,
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    spec: Json = {"rules": [rule]}
    if cluster.via:
        spec["ingressClassName"] = cluster.via
    own = labels(environment, component=component, role=ENTRY)
    return new("networking.k8s.io/v1", "Ingress", namespace, name, own, annotations={EXACT: component}, spec=spec)


def _route(namespace: str, name: str, component: str, environment: str, cluster: ClusterShape) -> Json:
    there, _, gateway = cluster.via.rpartition("/")
    parent: Json = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}
    if there:
        parent["namespace"] = there
    backend = {"group": "", "kind": "Service", "name": name, "port": SERVICE_PORT, "weight": 1}
    match = {"path": {"type": "PathPrefix", "value": "/"}}
    spec: Json = {
        "parentRefs": [parent],
        "rules": [{"matches": [match], "backendRefs": [backend]}],
    }
    if cluster.host:
        spec["hostnames"] = [cluster.host]
    own = labels(environment, component=component, role=ENTRY)
    return new(
        "gateway.networking.k8s.io/v1", "HTTPRoute", namespace, name, own, annotations={EXACT: component}, spec=spec
    )


def _to(group: GroupAddress | None) -> str:
    return to_text(group_to_json(group))
