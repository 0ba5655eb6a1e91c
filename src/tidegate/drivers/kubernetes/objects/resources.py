"""Resources that an environment runs itself: one instance, reached by those that use it. Pure."""

from __future__ import annotations

import re
from typing import Any

from tidegate.drivers.kubernetes.names import (
    EXACT,
    IDENTITY,
    PORT,
    PROGRAM,
    RESOURCE,
    ROLE,
    TARGET_PORT,
    URL,
    labels,
    resource_name,
    uses_label,
)
from tidegate.drivers.kubernetes.objects.group import DATA_SIZE
from tidegate.drivers.kubernetes.objects.metadata import new, seconds
from tidegate.drivers.kubernetes.objects.pod import DATA_FOLDER, probe, shell
from tidegate.drivers.kubernetes.objects.security import CONTAINER, pod_security
from tidegate.model.component import HealthKind
from tidegate.model.pins import Resource

Json = dict[str, Any]
ROLE_OF_RESOURCES = "resource"


def resource_url(namespace: str, name: str, spec: Resource) -> str:
    """What components get: `$HOST` and `$PORT` are those of the Service."""
    values = {"HOST": f"{resource_name(name)}.{namespace}", "PORT": str(PORT)}
    return re.sub(r"\$(HOST\b|PORT\b|\{HOST\}|\{PORT\})", lambda found: values[found[1].strip("{}")], spec.url)


def resource_objects(namespace: str, environment: str, name: str, spec: Resource) -> list[Json]:
    """In the order in which they can be applied: ServiceAccount, data, who may enter, Service, Deployment."""
    called, own = resource_name(name), labels(environment, resource=name, role=ROLE_OF_RESOURCES)
    exact = {EXACT: name}
    account = new("v1", "ServiceAccount", namespace, called, own, annotations=exact)
    objects = [account | {"automountServiceAccountToken": False}]
    if spec.data:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": DATA_SIZE}}}
        objects.append(new("v1", "PersistentVolumeClaim", namespace, called, own, annotations=exact, spec=claim))
    selector = {RESOURCE: own[RESOURCE], ROLE: ROLE_OF_RESOURCES}
    users = {"podSelector": {"matchLabels": {uses_label(name): "true"}}}
    policy = {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [users]}],
    }
    objects.append(new("networking.k8s.io/v1", "NetworkPolicy", namespace, called, own, annotations=exact, spec=policy))
    port = {"name": "main", "port": PORT, "protocol": "TCP", "targetPort": TARGET_PORT}
    service = {"type": "ClusterIP", "ports": [port], "selector": selector}
    objects.append(new("v1", "Service", namespace, called, own, annotations=exact, spec=service))
    deployment: Json = {
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "Recreate"},
        "revisionHistoryLimit": 0,
        "template": {"metadata": {"labels": own}, "spec": _pod(environment, called, spec)},
    }
    if spec.health.kind is HealthKind.ALIVE:
        deployment["minReadySeconds"] = seconds(spec.health.interval)
    said = {**exact, IDENTITY: spec.identity, URL: resource_url(namespace, name, spec)}
    objects.append(new("apps/v1", "Deployment", namespace, called, own, annotations=said, spec=deployment))
    return objects


def _pod(environment: str, name: str, spec: Resource) -> Json:
    env = {"HOME": "/tmp", "HOST": "0.0.0.0", "PORT": str(PORT), "TIDEGATE_ENVIRONMENT": environment}  # noqa: S104, S108
    mounts: list[Json] = [{"name": "empty", "mountPath": "/tmp"}]  # noqa: S108
    volumes: list[Json] = [{"name": "empty", "emptyDir": {}}]
    if spec.data:
        env["DATA"] = DATA_FOLDER
        mounts.append({"name": "data", "mountPath": DATA_FOLDER})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": name}})
    program: Json = {
        "name": PROGRAM,
        "image": spec.image,
        "env": [{"name": key, "value": env[key]} for key in sorted(env)],
        "ports": [{"name": TARGET_PORT, "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        # Images of databases write here and there, and nobody can say `writable:` for a resource.
        "securityContext": {**CONTAINER, "readOnlyRootFilesystem": False},
        "volumeMounts": mounts,
    }
    if spec.run:
        program["command"] = shell(spec.run)
    check = probe(spec.health, PORT, proxied=False)
    if check is not None:
        program["readinessProbe"] = check
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,
        "securityContext": pod_security(volume=spec.data, port=PORT),
        "terminationGracePeriodSeconds": max(seconds(spec.grace), 1),
        "containers": [program],
        "volumes": volumes,
    }
