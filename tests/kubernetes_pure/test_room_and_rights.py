"""What preflight compares: quantities, pod security, permissions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tidegate.drivers.kubernetes.objects.security import CONTAINER
from tidegate.drivers.kubernetes.permissions import permission_objects, rules
from tidegate.drivers.kubernetes.quotas import amount, short_of
from tidegate.drivers.kubernetes.restricted import violations


def _deployment(replicas: int, **resources: dict[str, str]) -> dict[str, Any]:
    pod = {"containers": [{"name": "program", "resources": resources}]}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": replicas, "template": {"spec": pod}}}


def _quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


@pytest.mark.parametrize(
    ("text", "value"), [("250m", "0.25"), ("64Mi", "67108864"), ("1e3", "1000"), ("2k", "2000"), ("3", "3")]
)
def test_quantities_are_read_as_the_cluster_does(text: str, value: str) -> None:
    assert amount(text) == Decimal(value)


def test_a_quota_that_is_too_small_is_named_with_what_is_missing() -> None:
    """What is not requested counts with its limit; quotas for some pods only are the cluster's affair."""
    coming = [_deployment(3, requests={"cpu": "100m"}, limits={"memory": "64Mi"})]
    quota = _quota({"requests.cpu": "500m", "requests.memory": "128Mi", "pods": "10"}, {"requests.cpu": "200m"})
    assert short_of(quota, coming) == [
        "quota q: requests.memory: 192Mi more are needed, 0 of 128Mi are used",
    ]
    assert short_of(_quota({"pods": "1"}, {}, scopes=["Terminating"]), coming) == []


def test_what_pod_security_does_not_allow_is_said_and_our_own_pods_are_fine() -> None:
    pod: dict[str, Any] = {
        "securityContext": {"runAsNonRoot": True},
        "containers": [{"name": "program", "securityContext": CONTAINER}],
        "volumes": [{"name": "empty", "emptyDir": {}}],
    }
    assert violations(pod) == []
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    pod["containers"].append({"name": "odd", "securityContext": {**CONTAINER, "capabilities": {"add": ["SYS_ADMIN"]}}})
    assert violations(pod) == [
        "container odd: capabilities.add may not have SYS_ADMIN",
        "container odd: capabilities.drop has to have ALL",
        "volume host: hostPath is not allowed",
    ]


def test_nobody_is_given_more_than_the_namespace_and_no_secret_is_read() -> None:
    """Cluster-wide there is nothing but looking, and one namespace by its name."""
    objects = permission_objects("dev", "shop-dev", rules("shop-dev"))
    for each in objects:
        for rule in each.get("rules", ()):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            if "secrets" in rule["resources"]:
                assert not {"get", "list", "watch"} & set(rule["verbs"])
            if each["kind"] == "ClusterRole":
                assert set(rule["verbs"]) <= {"get", "list"}
    assert {each["metadata"].get("namespace") for each in objects} == {"shop-dev", "kube-public", None}


def test_who_makes_the_namespace_needs_everything_before_it_is_there() -> None:
    """A Role would have nowhere to be."""
    subject = {"kind": "User", "name": "ana@acme.example", "apiGroup": "rbac.authorization.k8s.io"}
    objects = permission_objects("dev", "shop-dev", rules("shop-dev", makes_namespace=True), subject)
    assert "shop-dev" not in {each["metadata"].get("namespace") for each in objects}
    (role,) = [each for each in objects if each["kind"] == "ClusterRole"]
    assert {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]} in role["rules"]
    assert all(each["subjects"] == [subject] for each in objects if "subjects" in each)
