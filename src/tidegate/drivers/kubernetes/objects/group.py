"""The objects of an instance group. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tidegate.drivers.kubernetes.names import (
    EDGES,
    EXACT,
    GROUP_ADDRESS,
    IDENTITY,
    INSTANCE,
    PIN,
    PROGRAM,
    RELEASE,
    component_name,
    data_name,
    edge_name,
    group_name,
    group_to_json,
    instances_of,
    labels,
    secret_name,
    settings_name,
    to_text,
)
from tidegate.drivers.kubernetes.objects.environment import component_policy
from tidegate.drivers.kubernetes.objects.metadata import new, patched, seconds
from tidegate.drivers.kubernetes.objects.pod import SETTINGS_FILE, Pod, pod_template, uses_own_secrets
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.model.address import EdgeAddress, url_variable
from tidegate.model.component import HealthKind
from tidegate.model.encoding import pin_to_json

Json = dict[str, Any]
DATA_SIZE = "1Gi"


def group_objects(namespace: str, source: GroupSource, *, proxy: str) -> list[Json]:
    """All of a group in the order in which it can be applied: what its pods refer to, the Deployment, and what refers
    to that. `proxy` is the image of the proxy, "" for none. Secret values are another object: `secret_object`."""
    scale = source.cluster.autoscale
    objects = shared_objects(namespace, source)
    if source.port:
        objects.append(component_policy(namespace, source.group.environment, source.group.component))
    objects.append(_deployment(namespace, source, proxy))
    if (scale.least if scale else source.pin.shape.replicas) > 1:
        objects.append(_budget(namespace, source))
    if scale is not None:
        objects.append(_autoscaler(namespace, source))
    return patched(objects, source.cluster.patches, source.group.component)


def shared_objects(namespace: str, source: GroupSource) -> list[Json]:
    """What groups and runs of a component share: ServiceAccount, settings, data. Patched by `group_objects`."""
    component = source.group.component
    own = _labels(source)
    exact = {EXACT: component}
    account = new("v1", "ServiceAccount", namespace, component_name(component), own, annotations=exact)
    objects = [account | {"automountServiceAccountToken": False}]
    if source.settings is not None:
        name = settings_name(component, source.pin.settings)
        objects.append(
            new("v1", "ConfigMap", namespace, name, own, annotations=exact, immutable=True, **_content(source.settings))
        )
    if source.release.runtime.data:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": DATA_SIZE}},
        }
        objects.append(
            new("v1", "PersistentVolumeClaim", namespace, data_name(component), own, annotations=exact, spec=spec)
        )
    return objects


def secret_object(
    namespace: str, source: GroupSource, values: Mapping[str, str], *, owner: str = "", role: str = INSTANCE
) -> Json | None:
    """The values (by variable) of secrets that no Secret of the cluster holds; None if there are none.

    `owner` is the name of the Job that it is for; "" for the group's Deployment. Not part of `render`.
    """
    wanted = uses_own_secrets(source)
    if not wanted:
        return None
    data = {name: base64.b64encode(values[name].encode()).decode() for name in sorted(wanted)}
    name = owner or group_name(source.group)
    group = {} if owner else {"group": source.group.name}
    own = _labels(source) | labels(source.group.environment, role=role, **group)
    return new("v1", "Secret", namespace, secret_name(name), own, type="Opaque", data=data)


def _content(settings: bytes) -> Json:
    try:
        return {"data": {SETTINGS_FILE: settings.decode()}}
    except UnicodeDecodeError:
        return {"binaryData": {SETTINGS_FILE: base64.b64encode(settings).decode()}}


def _deployment(namespace: str, source: GroupSource, proxy: str) -> Json:
    group, pin, runtime = source.group, source.pin, source.release.runtime
    name = group_name(group)
    pod = Pod(
        owner=name,
        role=INSTANCE,
        group=group.name,
        command=runtime.run,
        urls={url_variable(need): f"http://{edge_name(EdgeAddress(group, need))}" for need in source.edges},
        proxy=proxy,
        serves=True,
    )
    strategy: Json = {"type": "Recreate"}
    if not runtime.data:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    spec: Json = {
        "selector": {"matchLabels": instances_of(group)},
        "strategy": strategy,
        "revisionHistoryLimit": 0,
        "template": pod_template(namespace, source, pod),
    }
    if source.cluster.autoscale is None:
        spec["replicas"] = pin.shape.replicas
    if runtime.health.kind is HealthKind.ALIVE:
        spec["minReadySeconds"] = seconds(runtime.health.interval)
    annotations = {
        PIN: to_text(pin_to_json(pin)),
        IDENTITY: pin.identity,
        RELEASE: pin.release,
        GROUP_ADDRESS: to_text(group_to_json(group)),
        EDGES: to_text({need: group_to_json(to) for need, to in source.edges.items()}),
    }
    return new("apps/v1", "Deployment", namespace, name, _group_labels(source), annotations=annotations, spec=spec)


def _budget(namespace: str, source: GroupSource) -> Json:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": instances_of(source.group)}}
    return _beside("policy/v1", "PodDisruptionBudget", namespace, source, spec)


def _autoscaler(namespace: str, source: GroupSource) -> Json:
    scale = source.cluster.autoscale
    assert scale is not None
    used = {"type": "Utilization", "averageUtilization": scale.cpu}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": group_name(source.group)},
        "minReplicas": scale.least,
        "maxReplicas": scale.most,
        "metrics": [
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "container": PROGRAM, "target": used},
            }
        ],
    }
    return _beside("autoscaling/v2", "HorizontalPodAutoscaler", namespace, source, spec)


def _beside(version: str, kind: str, namespace: str, source: GroupSource, spec: Json) -> Json:
    annotations = {GROUP_ADDRESS: to_text(group_to_json(source.group))}
    name = group_name(source.group)
    return new(version, kind, namespace, name, _group_labels(source), annotations=annotations, spec=spec)


def _group_labels(source: GroupSource) -> dict[str, str]:
    return _labels(source) | labels(source.group.environment, group=source.group.name, role=INSTANCE)


def _labels(source: GroupSource) -> dict[str, str]:
    return labels(source.group.environment, component=source.group.component)
