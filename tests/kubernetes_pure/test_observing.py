"""What is there, from the objects of a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.kubernetes_pure.groups import NAMESPACE, PROXY, Json, deployment, source
from tidegate.drivers.kubernetes import names
from tidegate.drivers.kubernetes.objects.jobs import job_object
from tidegate.drivers.kubernetes.objects.resources import resource_objects
from tidegate.drivers.kubernetes.objects.services import edge_object, entry_objects
from tidegate.drivers.kubernetes.observing import observed, pin_of
from tidegate.drivers.kubernetes.run_records import ATTEMPT, attempt_name
from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress, GroupAddress, RunAddress
from tidegate.model.cluster import Autoscale, ClusterShape, Exposure
from tidegate.model.component import Health, HealthKind, Kind, RunKind
from tidegate.model.encoding import pin_to_json, run_address_to_json
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance, RunState
from tidegate.model.pins import Resource

FRONTEND, BACKEND = GroupAddress("stage", "frontend", 44), GroupAddress("stage", "backend", 43)
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:05Z"}
BEGUN = "2025-01-01T00:00:01Z"


def pod_of(
    made: Json,
    name: str = "frontend-r44-x-1",
    *,
    state: Mapping[str, Any] | None = None,
    ready: str | None = READY["lastTransitionTime"],
    unready: str = "2025-01-01T00:00:00Z",
    restarts: int = 0,
    phase: str = "Running",
    ip: str = "10.0.0.1",
) -> Json:
    """A pod of a Deployment: `ready` since then, or `unready` since."""
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ready or unready}
    running = {"running": {"startedAt": BEGUN}}
    container = {"name": "program", "restartCount": restarts, "state": running if state is None else state}
    template = made["spec"]["template"]
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, **template["metadata"]},
        "spec": template["spec"],
        "status": {"phase": phase, "podIP": ip, "conditions": [condition], "containerStatuses": [container]},
    }


def see(*objects: Json, node: str = "") -> Observed:
    def of(kind: str) -> list[Json]:
        return [each for each in objects if each.get("kind", "Pod") == kind]

    return observed("stage", NAMESPACE, of("Deployment"), of("Pod"), of("Service"), of("Job"), node)


def test_an_environment_is_seen_with_an_empty_cache() -> None:
    """Its objects carry all that there is to know."""
    of = source(needs=("backend",), replicas=2)
    made = deployment(of, proxy=PROXY)
    edge = edge_object(NAMESPACE, EdgeAddress(FRONTEND, "backend"), BACKEND)
    entry, *_ = entry_objects(NAMESPACE, "frontend", FRONTEND, of.pin)
    found = see(made, pod_of(made, "b", ip="10.0.0.2", restarts=3), pod_of(made, "a"), edge, entry)
    healthy = InstanceState.HEALTHY
    instances = (
        ObservedInstance(0, healthy, 0, "10.0.0.1:15080"),
        ObservedInstance(1, healthy, 3, "10.0.0.2:15080"),
    )
    assert found == Observed(
        "stage",
        {FRONTEND: ObservedGroup(FRONTEND, of.pin.identity, of.release.digest, 2, instances, {"backend": BACKEND})},
        {"frontend": FRONTEND},
        {"frontend": "http://frontend.acme-stage.svc.cluster.local"},
        own_addresses=True,
    )
    assert pin_of(made) == of.pin


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, InstanceState.HEALTHY),
        ({"ready": None}, InstanceState.STARTING),
        ({"ready": None, "unready": "2025-01-01T00:00:09Z"}, InstanceState.UNHEALTHY),
        ({"ready": None, "state": {}, "phase": "Pending"}, InstanceState.STARTING),
        ({"ready": None, "state": {"waiting": {"reason": "ContainerCreating"}}}, InstanceState.STARTING),
        ({"ready": None, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}, InstanceState.CRASH_LOOPING),
        ({"ready": None, "state": {"terminated": {"exitCode": 1}}}, InstanceState.STOPPED),
    ],
)
def test_an_instance_is_what_its_pod_says(told: Json, state: InstanceState) -> None:
    """Unhealthy is who was healthy since it started; who never was is starting."""
    made = deployment(source())
    (instance,) = see(made, pod_of(made, **told)).groups[FRONTEND].instances
    assert instance.state is state


def test_what_is_on_its_way_out_is_no_instance() -> None:
    """Nor is what a node gave up: it was replaced. The group itself is there until it is gone."""
    made = deployment(source())
    ending, evicted = pod_of(made, "a"), pod_of(made, "b", phase="Failed")
    ending["metadata"]["deletionTimestamp"] = made["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert see(made, ending, evicted).groups[FRONTEND].instances == ()


def test_workers_are_healthy_once_they_lived_for_a_while() -> None:
    """The cluster counts those; the others are the youngest."""
    made = deployment(source(kind=Kind.WORKER, health=Health(HealthKind.ALIVE)))
    made["status"] = {"availableReplicas": 1}
    pods = [pod_of(made, "a", ready="2025-01-01T00:00:07Z"), pod_of(made, "b", ready="2025-01-01T00:00:03Z")]
    found = see(made, *pods).groups[FRONTEND].instances
    assert [each.state for each in found] == [InstanceState.STARTING, InstanceState.HEALTHY]
    assert {each.address for each in found} == {""}


def test_what_an_autoscaler_does_is_no_drift() -> None:
    """Until somebody stops the group."""
    made = deployment(source(replicas=2, cluster=ClusterShape(autoscale=Autoscale(2, 9))))
    made["spec"]["replicas"] = 7
    assert see(made).groups[FRONTEND].replicas == 2
    made["spec"]["replicas"] = 0
    assert see(made).groups[FRONTEND].replicas == 0


@pytest.mark.parametrize(
    ("expose", "given", "url"),
    [
        (Exposure.NODE_PORT, {"nodePort": 30123}, "http://192.0.2.1:30123"),
        (Exposure.LOAD_BALANCER, {"ip": "192.0.2.7"}, "http://192.0.2.7"),
        (Exposure.LOAD_BALANCER, {"hostname": "lb.acme.example"}, "http://lb.acme.example"),
        (Exposure.LOAD_BALANCER, {"ip": "2001:db8::1"}, "http://[2001:db8::1]"),
        (Exposure.LOAD_BALANCER, {}, "http://frontend.acme-stage.svc.cluster.local"),
        (Exposure.INGRESS, {}, "http://shop.acme.example"),
    ],
)
def test_people_are_told_the_address_that_they_can_open(expose: Exposure, given: Json, url: str) -> None:
    """As soon as the cluster gave one."""
    of = source(cluster=ClusterShape(expose=expose, host="shop.acme.example"))
    entry, *_ = entry_objects(NAMESPACE, "frontend", FRONTEND, of.pin)
    if "nodePort" in given:
        entry["spec"]["ports"][0] |= given
    elif given:
        entry["status"] = {"loadBalancer": {"ingress": [given]}}
    assert see(entry, node="192.0.2.1").urls == {"frontend": url}


def test_of_tasks_the_last_time_is_known_and_of_migrations_each() -> None:
    """As everywhere."""
    of = source("seed", kind=Kind.TASK)

    def job(what: RunKind, turn: int) -> Json:
        run = RunAddress("stage", "seed", of.release.digest, what, turn)
        said = {
            names.RUN_ADDRESS: names.to_text(run_address_to_json(run)),
            names.PIN: names.to_text(pin_to_json(of.pin)),
            ATTEMPT: "1",
        }
        name = attempt_name(run, 1)
        made = job_object(NAMESPACE, name, of, "x", role="run", annotations=said, timeout_ms=1, needs={})
        return made | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}

    jobs = [job(RunKind.TASK, 3), job(RunKind.TASK, 12), job(RunKind.TASK, 5), job(RunKind.BEFORE, 0)]
    found = see(*jobs).runs
    assert {(run.what, run.turn) for run in found} == {(RunKind.TASK, 12), (RunKind.BEFORE, 0)}
    assert {run.state for run in found.values()} == {RunState.DONE}


def test_resources_are_no_groups() -> None:
    """They are seen beside them."""
    spec = Resource("postgres", "postgresql://$HOST:$PORT", image="db@sha256:" + "d" * 64)
    made = resource_objects(NAMESPACE, "stage", "orders-db", spec)[-1]
    found = see(made, pod_of(made, restarts=1))
    assert found.groups == {}
    resource = found.resources["orders-db"]
    assert (resource.identity, resource.state, resource.restarts) == (spec.identity, InstanceState.HEALTHY, 1)
    assert resource.url == "postgresql://resource--orders-db.acme-stage:8080"
    assert see(made).resources["orders-db"].state is InstanceState.STOPPED


SPOILT = ["[", "7", "{}", '{"environment": 1, "component": 2, "born": 3}']


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in (names.PIN, names.GROUP_ADDRESS, names.IDENTITY, names.RELEASE)),
        *((name, value) for name in (names.PIN, names.GROUP_ADDRESS) for value in SPOILT),
    ],
)
def test_what_cannot_be_read_is_never_taken_for_absent(name: str, value: str | None) -> None:
    """The object is named, and what to do about it."""
    made = deployment(source())
    annotations = {key: said for key, said in made["metadata"]["annotations"].items() if key != name}
    if value is not None:
        annotations[name] = value
    broken = made | {"metadata": {**made["metadata"], "annotations": annotations}}
    with pytest.raises(TargetError, match="Deployment frontend-r44 in the namespace acme-stage"):
        see(broken)


def test_edges_and_entries_that_cannot_be_read_are_errors_too() -> None:
    """Somebody wrote into them by hand."""
    edge = edge_object(NAMESPACE, EdgeAddress(FRONTEND, "backend"), BACKEND)
    entry, *_ = entry_objects(NAMESPACE, "frontend", FRONTEND, source().pin)
    for service in (edge, entry):
        service["metadata"]["annotations"][names.LEADS_TO] = "nowhere"
        with pytest.raises(TargetError, match=service["metadata"]["name"]):
            see(service)


def test_what_tidegate_did_not_make_is_not_looked_at() -> None:
    """Whatever it is."""
    stranger: Json = {"kind": "Deployment", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": {}}
    service: Json = {"kind": "Service", "metadata": {"name": "x", "namespace": NAMESPACE}, "spec": {}}
    assert see(stranger, service) == replace(see(), own_addresses=True)


def test_a_service_whose_selector_somebody_changed_leads_nowhere_that_is_known() -> None:
    """What its annotation says is not believed; so the entry is put right by the next change."""
    edge = edge_object(NAMESPACE, EdgeAddress(FRONTEND, "backend"), BACKEND)
    entry, *_ = entry_objects(NAMESPACE, "frontend", FRONTEND, source().pin)
    assert see(deployment(source()), entry, edge).entries == {"frontend": FRONTEND}
    for service in (edge, entry):
        service["spec"]["selector"] = {"app": "mine"}
    seen = see(deployment(source()), entry, edge)
    assert seen.entries == {"frontend": None}
    assert seen.groups[FRONTEND].edges == {"backend": None}
