"""Pods: what instances, runs and checks of a candidate have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.drivers.kubernetes.names import (
    PROGRAM,
    PROXY_PORT,
    STATS_PORT,
    TARGET_PORT,
    component_name,
    data_name,
    instances_of,
    labels,
    needs_label,
    secret_name,
    settings_name,
    uses_label,
)
from tidegate.drivers.kubernetes.objects.metadata import literal, seconds
from tidegate.drivers.kubernetes.objects.proxy import TCP_HEALTH_PATH, proxy_container
from tidegate.drivers.kubernetes.objects.security import CONTAINER, pod_security
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.model.address import url_variable
from tidegate.model.component import Health, HealthKind
from tidegate.model.digest import short
from tidegate.model.pins import Secret

Json = dict[str, Any]

SETTINGS_FOLDER = "/etc/tidegate"
SETTINGS_FILE = "settings.json"
DATA_FOLDER = "/data"
_KUBERNETES_SECRET = "kubernetes:"  # noqa: S105 - the scheme of a reference
_FOLLOWED = 3  # seconds within which all nodes have heard that an instance goes
_SPARE = 5  # seconds between the end of a program's grace and the end of all patience


@dataclass(frozen=True)
class Pod:
    """What differs between pods of one source. `owner` is the object whose Secret holds values of secrets, `role` and
    `group` are labels, `command` is run by a shell ("" for the image's own). `urls` are variables that lead to needed
    components, `env` are more of them. `proxy` is the image of the proxy, "" for none.
    """

    owner: str
    role: str
    command: str
    group: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    serves: bool = False
    restart: str = "Always"
    annotations: Mapping[str, str] = field(default_factory=dict)


def pod_template(namespace: str, source: GroupSource, pod: Pod) -> Json:
    """The `template` of a Deployment or Job. `serves`: it is an instance, with a port, a check and a drain."""
    runtime = source.release.runtime
    mounts, volumes = _volumes(source)
    program: Json = {
        "name": PROGRAM,
        "image": source.image,
        "env": _environment(source, pod),
        "resources": _resources(source),
        "securityContext": CONTAINER,
        "volumeMounts": mounts,
    }
    if pod.command:
        program["command"] = shell(pod.command)
    spec: Json = {
        "serviceAccountName": component_name(source.group.component),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # As the first process of its own a program that does nothing about SIGTERM would not end by it.
        "shareProcessNamespace": True,
        "restartPolicy": pod.restart,
        "securityContext": pod_security(volume=runtime.data, port=source.port if pod.serves else 0),
        "terminationGracePeriodSeconds": seconds(runtime.grace) + _SPARE,
        "containers": [program],
        "volumes": volumes,
    }
    if pod.serves:
        _serve(source, pod, program, spec)
    if hosts := _hosts(namespace, source):
        spec["hostAliases"] = hosts
    metadata: Json = {"labels": _labels(source, pod)}
    if pod.annotations:
        metadata["annotations"] = dict(pod.annotations)
    return {"metadata": metadata, "spec": spec}


def shell(command: str) -> list[str]:
    """A command as a container runs it."""
    return ["/bin/sh", "-c", literal(command)]


def probe(health: Health, port: int, *, proxied: bool) -> Json | None:
    """The readiness check, None where being alive is enough. It goes the way that users come."""
    match health.kind:
        case HealthKind.HTTP:
            path = health.check
            asked = {"httpGet": {"path": path, "port": PROXY_PORT if proxied else port, "scheme": "HTTP"}}
        case HealthKind.TCP if proxied:  # the proxy itself always takes connections
            asked = {"httpGet": {"path": TCP_HEALTH_PATH, "port": STATS_PORT, "scheme": "HTTP"}}
        case HealthKind.TCP:
            asked = {"tcpSocket": {"port": port}}
        case HealthKind.COMMAND:
            asked = {"exec": {"command": shell(health.check)}}
        case HealthKind.ALIVE:
            return None
    return {
        **asked,
        "periodSeconds": max(seconds(health.interval), 1),
        "timeoutSeconds": max(seconds(health.timeout), 1),
        "failureThreshold": health.failures,
    }


def uses_own_secrets(source: GroupSource) -> dict[str, str]:
    """Variables whose values are not in a Secret of the cluster already -> their references."""
    return {
        name: value.reference
        for name, value in source.pin.shape.env
        if isinstance(value, Secret) and not value.reference.startswith(_KUBERNETES_SECRET)
    }


def _serve(source: GroupSource, pod: Pod, program: Json, spec: Json) -> None:
    runtime, proxied = source.release.runtime, source.proxied(pod.proxy)
    check = probe(runtime.health, source.port, proxied=proxied)
    if check is not None:
        program["readinessProbe"] = check
    if source.port:
        program["ports"] = [
            {
                "name": PROGRAM if proxied else TARGET_PORT,
                "containerPort": source.port,
                "protocol": "TCP",
            }
        ]
        drain = seconds(runtime.drain)
        spec["terminationGracePeriodSeconds"] += drain
        if drain:  # a proxy has told the clients to go; this is for nodes that still lead new ones here
            sleep = min(drain, _FOLLOWED) if proxied else drain
            program["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep}}}
    if proxied:
        spec["initContainers"] = [proxy_container(pod.proxy, source.port, runtime.health)]
    spec["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": instances_of(source.group)},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def _labels(source: GroupSource, pod: Pod) -> dict[str, str]:
    group = {"group": pod.group} if pod.group else {}
    own = labels(source.group.environment, component=source.group.component, role=pod.role, **group)
    admitted = [needs_label(need) for need in source.release.runtime.needs]
    admitted += [uses_label(name) for name in source.resources]
    return own | dict.fromkeys(sorted(admitted), "true")


def _environment(source: GroupSource, pod: Pod) -> list[Json]:
    """The same variables as on any target. The later one of a name wins; `$(…)` in a value means itself."""
    own = {
        "TIDEGATE_ENVIRONMENT": source.group.environment,
        "TIDEGATE_COMPONENT": source.group.component,
        "TIDEGATE_RELEASE": short(source.release.digest),
    }
    if source.settings is not None:
        own["TIDEGATE_SETTINGS"] = f"{SETTINGS_FOLDER}/{SETTINGS_FILE}"
    if source.release.runtime.data:
        own["DATA"] = DATA_FOLDER
    if pod.serves and source.port:
        own["PORT"] = str(source.port)
    resources = {url_variable(name): url for name, url in source.resources.items()}
    found: dict[str, Json] = {"HOME": {"value": "/tmp"}}  # noqa: S108 - its own, and empty
    for name, value in source.pin.shape.env:
        found[name] = _secret(value, name, pod) if isinstance(value, Secret) else {"value": literal(value)}
    for name, text in {**pod.urls, **resources, **own, **pod.env}.items():
        found[name] = {"value": literal(text)}
    found["TIDEGATE_INSTANCE"] = {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}
    return [{"name": name, **found[name]} for name in sorted(found)]


def _secret(value: Secret, variable: str, pod: Pod) -> Json:
    name, key = secret_name(pod.owner), variable
    if value.reference.startswith(_KUBERNETES_SECRET):
        name, _, key = value.reference.removeprefix(_KUBERNETES_SECRET).partition("/")
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _resources(source: GroupSource) -> Json:
    return {"requests": dict(source.cluster.requests), "limits": dict(source.cluster.limits)}


def _volumes(source: GroupSource) -> tuple[list[Json], list[Json]]:
    """Mounts and volumes. Folders that may be written to begin empty, but for the data."""
    mounts: list[Json] = []
    volumes: list[Json] = []

    def add(name: str, path: str, volume: Json, **more: Any) -> None:
        mounts.append({"name": name, "mountPath": path, **more})
        volumes.append({"name": name, **volume})

    component = source.group.component
    if source.settings is not None:
        name = settings_name(component, source.pin.settings)
        add("settings", SETTINGS_FOLDER, {"configMap": {"name": name}}, readOnly=True)
    if source.release.runtime.data:
        add("data", DATA_FOLDER, {"persistentVolumeClaim": {"claimName": data_name(component)}})
    empty = dict.fromkeys(("/tmp", *source.cluster.writable))  # noqa: S108
    for number, path in enumerate(empty):
        add(f"empty-{number}", path, {"emptyDir": {}})
    return mounts, volumes


def _hosts(namespace: str, source: GroupSource) -> list[Json]:
    """Other names of a needed component lead where the edge leads, and not to the entry as for everybody else."""
    found = []
    for need, aliases in sorted(source.aliases.items()):
        address = source.addresses.get(need)
        names = dict.fromkeys(alias.name for alias in aliases)
        if address and names:
            suffixes = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
            found.append({"ip": address, "hostnames": [name + suffix for name in names for suffix in suffixes]})
    return found
