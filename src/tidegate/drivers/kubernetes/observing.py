"""From the objects of a namespace to what is there. Pure.

An object of ours that cannot be understood is an error that names it; it is never left out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidegate.drivers.kubernetes.names import (
    EDGE,
    ENTRY,
    EXACT,
    GROUP,
    HOST,
    IDENTITY,
    INSTANCE,
    PIN,
    PROGRAM,
    RELEASE,
    RESOURCE,
    ROLE,
    SERVICE_PORT,
    TARGET_PORT,
    URL,
    annotation,
    group_of,
    instances_of,
    leads_to,
    unreadable,
)
from tidegate.drivers.kubernetes.objects.resources import ROLE_OF_RESOURCES
from tidegate.drivers.kubernetes.run_records import known
from tidegate.errors import StoreError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.encoding import pin_from_json
from tidegate.model.observed import (
    InstanceState,
    Observed,
    ObservedGroup,
    ObservedInstance,
    ObservedResource,
    ObservedRun,
)
from tidegate.model.pins import Pin

Json = dict[str, Any]
Object = Mapping[str, Any]


def observed(  # noqa: PLR0917 - the four kinds of objects that are listed, in their order
    environment: str,
    namespace: str,
    deployments: Iterable[Json],
    pods: Iterable[Json],
    services: Iterable[Json],
    jobs: Iterable[Json],
    node_address: str = "",
) -> Observed:
    """What is there. `node_address` is that of a node that people can reach, "" if it is not known. Objects with other
    roles, and those that Tidegate did not make, are not looked at. Raises `TargetError`."""
    deployments, services, pods = list(deployments), list(services), list(pods)
    edges = _edges(services)
    instances = _by_label(pods, GROUP)
    groups = {address: _remnant(address, own) for address, own in edges.items()}
    for each in deployments:
        if _label(each, ROLE) == INSTANCE:
            group = _group(each, instances, edges)
            groups[group.address] = group
    entries = {annotation(each, EXACT): each for each in services if _label(each, ROLE) == ENTRY}
    providers = _by_label(pods, RESOURCE)
    resources = [_resource(each, providers) for each in deployments if _label(each, ROLE) == ROLE_OF_RESOURCES]
    return Observed(
        environment,
        groups,
        {component: _leads_to(service) for component, service in entries.items()},
        {component: _url(service, namespace, node_address) for component, service in entries.items()},
        _newest(known(jobs, pods)),
        {resource.name: resource for resource in resources},
        own_addresses=True,
    )


def pin_of(obj: Object) -> Pin:
    """The pin that an object carries. Raises `TargetError`."""
    try:
        return pin_from_json(json.loads(annotation(obj, PIN)))
    except (ValueError, StoreError) as error:
        raise unreadable(obj, PIN) from error


# Groups


def _group(
    deployment: Object,
    pods: Mapping[str, Sequence[Object]],
    edges: Mapping[GroupAddress, Mapping[str, GroupAddress | None]],
) -> ObservedGroup:
    address, pin = group_of(deployment), pin_of(deployment)
    spec = deployment["spec"]
    replicas = int(spec.get("replicas", 1))
    cluster = pin.shape.cluster
    if cluster is not None and cluster.autoscale is not None and replicas:
        replicas = pin.shape.replicas  # how many there are is up to the autoscaler, and no drift
    alive = _instances(deployment, pods.get(_label(deployment, GROUP), ()))
    return ObservedGroup(
        address,
        annotation(deployment, IDENTITY),
        annotation(deployment, RELEASE),
        replicas,
        tuple(alive),
        edges.get(address, {}),
    )


def _remnant(address: GroupAddress, edges: Mapping[str, GroupAddress | None]) -> ObservedGroup:
    """A group of which only edges are there: whoever made it died before its Deployment. So it is known and removed."""
    return ObservedGroup(address, "", "", 0, (), edges)


def _edges(services: Iterable[Object]) -> Mapping[GroupAddress, Mapping[str, GroupAddress | None]]:
    found: dict[GroupAddress, dict[str, GroupAddress | None]] = defaultdict(dict)
    for service in services:
        if _label(service, ROLE) == EDGE:
            found[group_of(service)][annotation(service, EXACT)] = _leads_to(service)
    return found


def _leads_to(service: Object) -> GroupAddress | None:
    """Where a Service leads; nowhere that we know of if somebody changed its selector."""
    group = leads_to(service)
    return group if service["spec"].get("selector") == instances_of(group) else None


def _instances(deployment: Object, pods: Sequence[Object]) -> list[ObservedInstance]:
    """Sorted by name; without those that are on their way out, and those that a node gave up, which were replaced."""
    alive = sorted((pod for pod in pods if _counts(pod)), key=lambda pod: str(pod["metadata"]["name"]))
    states = [_state(pod) for pod in alive]
    if deployment["spec"].get("minReadySeconds"):
        states = _after_a_while(alive, states, int(deployment.get("status", {}).get("availableReplicas", 0)))
    return [
        ObservedInstance(index, state, _restarts(pod), _address(pod))
        for index, (pod, state) in enumerate(zip(alive, states, strict=True))
    ]


def _after_a_while(pods: Sequence[Object], states: Sequence[InstanceState], available: int) -> list[InstanceState]:
    """Where being alive for a while is what healthy means: the cluster says how many are, and it is the oldest."""
    ready = [index for index, state in enumerate(states) if state is InstanceState.HEALTHY]
    ready.sort(key=lambda index: str(_condition(pods[index], "Ready").get("lastTransitionTime", "")))
    young = set(ready[available:])
    return [InstanceState.STARTING if index in young else state for index, state in enumerate(states)]


def _counts(pod: Object) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}
    return "deletionTimestamp" not in pod["metadata"] and not ended


def _state(pod: Object) -> InstanceState:
    container = _program(pod)
    state = container.get("state", {})
    if state.get("waiting", {}).get("reason") == "CrashLoopBackOff":
        return InstanceState.CRASH_LOOPING
    if "terminated" in state:
        return InstanceState.STOPPED
    ready = _condition(pod, "Ready")
    if ready.get("status") == "True":
        return InstanceState.HEALTHY
    # It turned unready after this start, so it was ready before.
    begun = state.get("running", {}).get("startedAt")
    if begun and str(ready.get("lastTransitionTime", "")) > begun:
        return InstanceState.UNHEALTHY
    return InstanceState.STARTING


def _address(pod: Object) -> str:
    ip = pod.get("status", {}).get("podIP", "")
    spec = pod["spec"]
    ports = [
        port["containerPort"]
        for container in (*spec.get("initContainers", ()), *spec["containers"])
        for port in container.get("ports", ())
        if port.get("name") == TARGET_PORT
    ]
    if not ip or not ports:
        return ""
    return f"[{ip}]:{ports[0]}" if ":" in ip else f"{ip}:{ports[0]}"


def _restarts(pod: Object) -> int:
    return int(_program(pod).get("restartCount", 0))


def _program(pod: Object) -> Json:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container["name"] == PROGRAM:
            found: Json = container
            return found
    return {}


# Addresses of entries


def _url(service: Object, namespace: str, node_address: str) -> str:
    metadata, spec = service["metadata"], service["spec"]
    port: Object = next((port for port in spec.get("ports", ()) if port["port"] == SERVICE_PORT), {})
    balanced = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    if host := metadata.get("annotations", {}).get(HOST):
        return f"http://{host}"
    if spec.get("type") == "LoadBalancer" and balanced:
        return f"http://{_host(balanced[0].get('hostname') or balanced[0].get('ip', ''))}"
    if spec.get("type") == "NodePort" and node_address and port.get("nodePort"):
        return f"http://{_host(node_address)}:{port['nodePort']}"
    return f"http://{metadata['name']}.{namespace}.svc.cluster.local"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


# Runs


def _newest(runs: Mapping[RunAddress, ObservedRun]) -> Mapping[RunAddress, ObservedRun]:
    """Without tasks that were run again since."""
    last: dict[str, int] = {}
    for run in runs:
        last[run.component] = max(last.get(run.component, 0), run.turn)
    return {run: seen for run, seen in runs.items() if run.turn in {0, last[run.component]}}


# Resources


def _resource(deployment: Object, pods: Mapping[str, Sequence[Object]]) -> ObservedResource:
    name = annotation(deployment, EXACT)
    instances = _instances(deployment, pods.get(_label(deployment, RESOURCE), ()))
    return ObservedResource(
        name,
        annotation(deployment, IDENTITY),
        instances[0].state if instances else InstanceState.STOPPED,
        annotation(deployment, URL),
        instances[0].restarts if instances else 0,
    )


def _by_label(objects: Iterable[Object], name: str) -> Mapping[str, list[Object]]:
    found: dict[str, list[Object]] = defaultdict(list)
    for each in objects:
        found[_label(each, name)].append(each)
    return found


def _label(obj: Object, name: str) -> str:
    return str(obj["metadata"].get("labels", {}).get(name, ""))


def _condition(pod: Object, kind: str) -> Json:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == kind:
            found: Json = condition
            return found
    return {}
