"""The least that somebody needs to change one environment: as rules, and as objects that give them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tidegate.drivers.kubernetes.names import ENVIRONMENT, fit

Json = dict[str, Any]
ACCOUNT = "tidegate"  # the ServiceAccount that gets the rights, where nobody else is named
REGISTRY_NAMESPACE, REGISTRY_MAP = "kube-public", "local-registry-hosting"

_LOOK = ("get", "list", "watch")
_CHANGE = ("create", "update", "patch", "delete")


class Where(Enum):
    """Where a rule holds."""

    NAMESPACE = "in the namespace"
    CLUSTER = "in the cluster"
    PUBLIC = f"in {REGISTRY_NAMESPACE}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on resources of one API group ("" for the core), or on the objects of these `names` only. `why` it is
    needed; `must` False: all else works without."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    where: Where = Where.NAMESPACE
    names: tuple[str, ...] = ()
    why: str = ""
    must: bool = True


def rules(namespace: str, *, makes_namespace: bool = False, alone: bool = False) -> tuple[Rule, ...]:
    """All rules for one environment. `makes_namespace`: Tidegate makes and removes it, else it has to be there.
    `alone`: the environment shares its cluster with no other, which has to be looked at.

    Values of Secrets are written and never read.
    """
    own = ("delete",) if makes_namespace else ()
    look = (Rule("", ("secrets",), ("list",), why="a namespace goes only if nothing else lives there", must=False),)
    return (
        Rule("", ("configmaps", "services"), _LOOK + _CHANGE),
        Rule("", ("serviceaccounts", "persistentvolumeclaims"), ("get", "list", *_CHANGE)),
        Rule("", ("secrets",), ("create", "patch", "delete"), why="secrets of components; their values are never read"),
        Rule("", ("pods",), (*_LOOK, "delete")),
        Rule("", ("pods/log",), ("get",), why="tidegate logs, and the last lines of what failed"),
        Rule("", ("pods/exec",), ("get", "create"), why="tidegate exec"),
        Rule("", ("pods/proxy",), ("get", "create"), why="answers are counted and connections drained"),
        Rule("", ("events", "resourcequotas"), ("get", "list"), why="saying why something does not start"),
        Rule("apps", ("deployments",), _LOOK + _CHANGE),
        Rule("apps", ("replicasets",), _LOOK),
        Rule("batch", ("jobs",), _LOOK + _CHANGE),
        Rule("policy", ("poddisruptionbudgets",), ("get", "list", *_CHANGE)),
        Rule("autoscaling", ("horizontalpodautoscalers",), ("get", "list", *_CHANGE)),
        Rule("discovery.k8s.io", ("endpointslices",), _LOOK, why="a switch is complete when they say so"),
        Rule("networking.k8s.io", ("networkpolicies", "ingresses"), ("get", "list", *_CHANGE)),
        Rule(
            "gateway.networking.k8s.io", ("httproutes",), ("get", "list", *_CHANGE), why="expose: gateway", must=False
        ),
        Rule("", ("namespaces",), ("get", *own), Where.CLUSTER, (namespace,), why="whose it is"),
        *(
            (
                Rule("", ("namespaces",), ("create",), Where.CLUSTER, why="making it"),
                Rule("", ("namespaces",), ("patch",), Where.CLUSTER, (namespace,), why="making it"),
                *look,
            )
            if makes_namespace
            else ()
        ),
        Rule("", ("namespaces",), ("list",), Where.CLUSTER, why="isolation: server", must=alone),
        Rule(
            "storage.k8s.io", ("storageclasses",), ("list",), Where.CLUSTER, why="whether data can be kept", must=False
        ),
        Rule("", ("configmaps",), ("get",), Where.PUBLIC, (REGISTRY_MAP,), why="the cluster's registry", must=False),
    )


def permission_objects(
    environment: str, namespace: str, wanted: Sequence[Rule], subject: Json | None = None
) -> list[Json]:
    """Roles with these rules, and their bindings to `subject` (as in a RoleBinding). Without one a ServiceAccount
    is made in the namespace; then it has to be there. None of them is labelled as managed: they belong to whoever
    applies them, and `down` leaves them.

    Where Tidegate makes the namespace no Role can be there before it: then all is one ClusterRole.
    """
    made: list[Json] = []
    if subject is None:
        account = _metadata(ACCOUNT, environment, namespace)
        made.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    everywhere = any(rule.where is Where.CLUSTER and "create" in rule.verbs for rule in wanted)
    name = fit(f"tidegate-{namespace}")
    parts = {where: [rule for rule in wanted if rule.where is where] for where in Where}
    if everywhere:
        parts[Where.CLUSTER] = [*parts.pop(Where.NAMESPACE), *parts[Where.CLUSTER]]
    for where, some in parts.items():
        if some:
            place = {Where.NAMESPACE: namespace, Where.PUBLIC: REGISTRY_NAMESPACE}.get(where, "")
            made += _role(name, environment, place, some, subject)
    return made


def _role(name: str, environment: str, place: str, some: Sequence[Rule], subject: Json) -> list[Json]:
    kind = "Role" if place else "ClusterRole"
    group = "rbac.authorization.k8s.io"
    metadata = _metadata(name, environment, place)
    return [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": [_rule(rule) for rule in some]},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [subject],
        },
    ]


def _rule(rule: Rule) -> Json:
    found: Json = {"apiGroups": [rule.group], "resources": list(rule.resources), "verbs": list(rule.verbs)}
    return found | ({"resourceNames": list(rule.names)} if rule.names else {})


def _metadata(name: str, environment: str, namespace: str) -> Json:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": {ENVIRONMENT: fit(environment)}}
