"""What an environment has beside its components: the namespace, and who may enter. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.drivers.kubernetes.names import (
    CLOSED,
    COMPONENT,
    ENTRY,
    EXACT,
    MANAGED_BY,
    ORGANIZATION,
    STATS_PORT,
    TIDEGATE,
    exposed_name,
    fit,
    labels,
    needs_label,
    policy_name,
)
from tidegate.drivers.kubernetes.objects.metadata import new

Json = dict[str, Any]
_POLICY = "networking.k8s.io/v1"


def environment_objects(namespace: str, environment: str, organization: str) -> list[Json]:
    """The Namespace and the policy that closes it."""
    return [namespace_object(namespace, environment, organization), closed_policy(namespace, environment)]


def namespace_object(namespace: str, environment: str, organization: str) -> Json:
    """Whose it is, and the pod security standard that holds in it."""
    own = labels(environment) | ({ORGANIZATION: fit(organization)} if organization else {})
    security = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    return new("v1", "Namespace", "", namespace, own | security, annotations={EXACT: environment})


def closed_policy(namespace: str, environment: str) -> Json:
    """Nobody enters a pod of ours unless another policy admits them. The proxies' counters are open: who asks for them
    comes through the API server, whose address is none of a pod."""
    spec = {
        "podSelector": {"matchLabels": {MANAGED_BY: TIDEGATE}},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": STATS_PORT, "protocol": "TCP"}]}],
    }
    return new(_POLICY, "NetworkPolicy", namespace, CLOSED, labels(environment), spec=spec)


def component_policy(namespace: str, environment: str, component: str) -> Json:
    """Admits those that need the component, and its own checks."""
    own = labels(environment, component=component)
    callers = [
        {"podSelector": {"matchLabels": {needs_label(component): "true"}}},
        {"podSelector": {"matchLabels": {COMPONENT: own[COMPONENT]}}},
    ]
    return _admitting(namespace, policy_name(component), component, own, [{"from": callers}])


def exposed_policy(namespace: str, environment: str, component: str) -> Json:
    """Admits everybody. It belongs to the entry: it comes and goes with what the entry leads to."""
    own = labels(environment, component=component, role=ENTRY)
    return _admitting(namespace, exposed_name(component), component, own, [{}])


def _admitting(namespace: str, name: str, component: str, own: Mapping[str, str], ingress: list[Json]) -> Json:
    spec = {
        "podSelector": {"matchLabels": {COMPONENT: own[COMPONENT]}},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    return new(_POLICY, "NetworkPolicy", namespace, name, own, annotations={EXACT: component}, spec=spec)
