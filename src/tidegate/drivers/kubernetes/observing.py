"""From the objects of a namespace to what is there. Pure.

An object of ours that cannot be understood is an error that names it; it is never left out.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidegate.drivers.kubernetes.names import (
    ASSUMED,
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
    RUN,
    RUN_ADDRESS,
    SERVICE_PORT,
    TARGET_PORT,
    URL,
    annotation,
    group_of,
    leads_to,
    unreadable,
)
from tidegate.drivers.kubernetes.objects.resources import ROLE_OF_RESOURCES
from tidegate.errors import StoreError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.encoding import pin_from_json, run_address_from_json
from tidegate.model.observed import (
    InstanceState,
    Observed,
    ObservedGroup,
    ObservedInstance,
    ObservedResource,
    ObservedRun,
    RunState,
)
from tidegate.model.pins import Pin

Json = dict[str, Any]
Object = Mapping[str, Any]

_OOM = "OOMKilled"
_EXIT_CODE = re.compile(r"\bexit code (\d+)\b")


def observed(
    environment: str,
    namespace: str,
    deployments: Iterable[Object],
    pods: Iterable[Object],
    services: Iterable[Object],
    jobs: Iterable[Object],
    node_address: str = "",
) -> Observed:
    """What is there. `node_address` is that of a node that people can reach, "" if it is not known. Objects with other
    roles, and those that Tidegate did not make, are not looked at. Raises `TargetError`."""
    deployments, services, pods = list(deployments), list(services), list(pods)
    edges = _edges(services)
    instances = _by_label(pods, GROUP)
    groups = [_group(each, instances, edges) for each in deployments if _label(each, ROLE) == INSTANCE]
    entries = {annotation(each, EXACT): each for each in services if _label(each, ROLE) == ENTRY}
    runs = [_run(each, pods) for each in jobs if _label(each, ROLE) == RUN]
    providers = _by_label(pods, RESOURCE)
    resources = [_resource(each, providers) for each in deployments if _label(each, ROLE) == ROLE_OF_RESOURCES]
    return Observed(
        environment,
        {group.address: group for group in groups},
        {component: leads_to(service) for component, service in entries.items()},
        {component: _url(service, namespace, node_address) for component, service in entries.items()},
        {run.address: run for run in _newest(runs)},
        {resource.name: resource for resource in resources},
        own_addresses=True,
    )


def pin_of(obj: Object) -> Pin:
    """The pin that an object carries. Raises `TargetError`."""
    try:
        return pin_from_json(json.loads(annotation(obj, PIN)))
    except (ValueError, StoreError) as error:
        raise unreadable(obj, PIN) from error


def run_of(job: Object) -> RunAddress:
    """The run that a Job is. Raises `TargetError`."""
    try:
        return run_address_from_json(json.loads(annotation(job, RUN_ADDRESS)))
    except (ValueError, StoreError) as error:
        raise unreadable(job, RUN_ADDRESS) from error


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


def _edges(services: Iterable[Object]) -> Mapping[GroupAddress, Mapping[str, GroupAddress | None]]:
    found: dict[GroupAddress, dict[str, GroupAddress | None]] = defaultdict(dict)
    for service in services:
        if _label(service, ROLE) == EDGE:
            found[group_of(service)][annotation(service, EXACT)] = leads_to(service)
    return found


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
    port = next((port for port in spec.get("ports", ()) if port["port"] == SERVICE_PORT), {})
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


def _run(job: Object, pods: Sequence[Object]) -> ObservedRun:
    state, status = run_state(job, pods)
    return ObservedRun(run_of(job), state, pin_of(job), status)


def run_state(job: Object, pods: Iterable[Object]) -> tuple[RunState, int | None]:
    """What became of a run, and its exit status if that is known. `pods` may hold others' as well.

    Raises `TargetError` for a word of a person that means nothing.
    """
    conditions = {
        each["type"]: each for each in job.get("status", {}).get("conditions", ()) if each["status"] == "True"
    }
    if ASSUMED in job["metadata"].get("annotations", {}):
        try:
            return RunState(annotation(job, ASSUMED)), None
        except ValueError as error:
            raise unreadable(job, ASSUMED) from error
    if "Complete" in conditions:
        return RunState.DONE, 0
    if "Failed" not in conditions:
        return RunState.RUNNING, None
    failed = conditions["Failed"]
    if failed.get("reason") == "DeadlineExceeded":
        return RunState.FAILED, None
    if failed.get("reason") == "PodFailurePolicy":
        code = _EXIT_CODE.search(failed.get("message", ""))
        return RunState.FAILED, int(code[1]) if code else None
    ended = [_program(pod).get("state", {}).get("terminated", {}) for pod in pods if _belongs(pod, job)]
    if any(each.get("reason") == _OOM for each in ended):
        return RunState.FAILED, next(each.get("exitCode") for each in ended if each.get("reason") == _OOM)
    return RunState.INTERRUPTED, None


def _belongs(pod: Object, job: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences", ())
    return any(owner["kind"] == "Job" and owner["uid"] == job["metadata"]["uid"] for owner in owners)


def _newest(runs: Iterable[ObservedRun]) -> list[ObservedRun]:
    """All but the tasks that were run again since."""
    found: dict[tuple[str, object], ObservedRun] = {}
    for run in sorted(runs, key=lambda run: run.address.turn):
        key = run.address if not run.address.turn else (run.address.environment, run.address.what)
        found[run.address.component, key] = run
    return list(found.values())


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
