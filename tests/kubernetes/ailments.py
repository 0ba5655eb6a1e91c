"""Deployments that cannot become well, each for another reason; and the same reasons as the cluster told them once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

NOBODY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CLOSED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
ABSENT = "sha256:" + "0" * 64
EATING = "x = bytearray(200 * 1024 * 1024); import time; time.sleep(1000)"
SLEEPING = ["sleep", "1000"]


def ailments(images: Mapping[str, str], registry: str) -> dict[str, Json]:
    """The container of each, by what is wrong; `pod` in it is about the pod."""
    base = images["base"]
    asking = {"port": 8080, "path": "/nowhere"}
    often = {"periodSeconds": 1, "failureThreshold": 1}
    return {
        "crash": {"command": ["sh", "-c", "echo the database is not there; exit 3"]},
        "gone": {"command": ["sh", "-c", "exit 0"]},
        "signal": {"command": ["python3", "-c", "import ctypes; ctypes.string_at(0)"]},
        "memory": {"command": ["python3", "-c", EATING], "resources": {"limits": {"memory": "32Mi"}}},
        "image": {"image": f"{registry}/nowhere@{ABSENT}"},
        "image-name": {"image": "No Such Name"},
        "registry": {"image": f"127.0.0.1:1/nowhere@{ABSENT}"},
        "root": {"pod": {"securityContext": {**NOBODY, "runAsUser": None}}},
        "secret": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "a"}}}]},
        "mount": {
            "volumeMounts": [{"name": "a", "mountPath": "/a"}],
            "pod": {"volumes": [{"name": "a", "configMap": {"name": "nowhere"}}]},
        },
        "command": {"command": ["/nowhere"]},
        "answer": {
            "command": ["python3", "-m", "http.server", "8080", "--directory", "/mnt"],
            "readinessProbe": {"httpGet": asking, **often},
        },
        "silent": {"readinessProbe": {"httpGet": asking, **often}},
        "liveness": {
            "livenessProbe": {"httpGet": asking, **often},
            "pod": {"terminationGracePeriodSeconds": 0},
        },
        "room": {"resources": {"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}}},
        "claim": {"pod": {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "nowhere"}}]}},
        "security": {"securityContext": {**CLOSED, "privileged": True, "allowPrivilegeEscalation": True}},
        "limit": {"resources": {"limits": {"memory": "3Gi"}}},
        "account": {"pod": {"serviceAccountName": "nowhere"}},
        "policy": {"env": [{"name": "FORBIDDEN", "value": "yes"}]},
        "quota": {},
        "well": {"image": base},
    }


def deployment(name: str, namespace: str, image: str, ailment: Mapping[str, Any]) -> Json:
    """One of them as an object."""
    container = {
        "name": "program",
        "image": image,
        "command": SLEEPING,
        "securityContext": CLOSED,
        **{key: value for key, value in ailment.items() if key != "pod"},
    }
    labels = {"app": name, "app.kubernetes.io/managed-by": "tidegate"}
    pod = {
        "securityContext": NOBODY,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        **ailment.get("pod", {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def rules(namespace: str) -> list[Json]:
    """What the cluster refuses some of them by. The last two are the whole cluster's, and for this namespace only."""
    own = {"namespace": namespace}
    few = {"default": {"memory": "64Mi"}, "defaultRequest": {"memory": "16Mi"}}
    api = "admissionregistration.k8s.io/v1"
    matching = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    pods = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": matching, "resourceRules": pods},
        "validations": [
            {
                "expression": "object.spec.containers.all(c, !has(c.env) || c.env.all(e, e.name != 'FORBIDDEN'))",
                "message": "that variable is not for you",
            }
        ],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "small", **own},
            "spec": {"limits": [{"type": "Container", "max": {"memory": "2Gi"}, **few}]},
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": policy,
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "validationActions": ["Deny"]},
        },
    ]


def quota(namespace: str) -> Json:
    """No room for anything."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
