"""Who else is there: another store, a former holder of the claim, other managers of fields, and what others made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from lightkube import Client
from lightkube.codecs import from_dict
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Service
from lightkube.types import PatchType

from tests.faults.scenes import NEXT, VICTIM
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import Call, FaultyApi, Held
from tests.kubernetes.shops import SERVES, SMALL, Shop, everything
from tests.kubernetes.worlds import ALIVE, QUICK, World, world
from tidegate.drivers.kubernetes.client import ConflictError
from tidegate.drivers.kubernetes.grounds import FOREIGN
from tidegate.drivers.kubernetes.kinds import POD
from tidegate.drivers.kubernetes.target import KubernetesTarget, Location
from tidegate.errors import OldEpoch, TargetError
from tidegate.execution import Fate
from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release
from tidegate.model.pins import Pin, Shape
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.model.step import EntryMove, Observe, Replace, Retire, Route, Scale, Start, Step
from tidegate.ports.target import Epoch

pytestmark = pytest.mark.anyio
Stock = Mapping[tuple[str, str], Mapping[str, Any]]
COMPONENTS = ("backend", "worker")
OLD, NEW = GroupAddress("dev", "backend", 1), GroupAddress("dev", "backend", 2)
WORKER, NEXT_WORKER = GroupAddress("dev", "worker", 1), GroupAddress("dev", "worker", 2)
BEGINNING = Epoch("dev", 1, COMPONENTS, "plan-1", "ana@here:1")
FORMER = Epoch("dev", 2, COMPONENTS, "plan-2", "former@here:2")
SUCCESSOR = Epoch("dev", 3, COMPONENTS, "plan-3", "successor@here:3")
COUNTED = "deployment.kubernetes.io/revision"  # by the controller
HARMLESS = Observe((OLD,), (), (), 0, 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(cluster: Cluster, namespace_name: str) -> AsyncIterator[World]:
    """A namespace that is not there yet."""
    async with world(cluster, namespace_name, proxied=False) as made:
        yield made


def pin(release: Release, replicas: int = 1) -> Pin:
    return Pin(release.digest, "", Shape(replicas=replicas, cluster=SMALL))


def service(here: World, version: str = "1", replicas: int = 1) -> Pin:
    return pin(here.add("backend", version, run=SERVES, health=QUICK), replicas)


def worker(here: World, version: str = "1") -> Pin:
    return pin(here.add("worker", version, run="exec sleep 1000", health=ALIVE, kind=Kind.WORKER))


def leads(to: GroupAddress | None) -> Route:
    return Route((EntryMove("backend", to),))


async def stock(here: World) -> Stock:
    """All that people or programs made there, but for what the cluster itself writes into it."""
    found = await asyncio.gather(*(here.api.list(kind, here.namespace) for kind in FOREIGN if kind is not POD))
    kept = ("name", "uid", "labels", "finalizers", "deletionTimestamp")

    def told(each: Mapping[str, Any]) -> dict[str, Any]:
        metadata = {key: each["metadata"].get(key) for key in kept}
        notes = {key: note for key, note in each["metadata"].get("annotations", {}).items() if key != COUNTED}
        return {**{key: value for key, value in each.items() if key != "status"}, "metadata": (metadata, notes)}

    return {(each["kind"], each["metadata"]["name"]): told(each) for listing in found for each in listing.items}


def plan_of(environment: str = "dev", *steps: Step) -> Plan:
    planned = tuple(PlannedStep(str(place), Phase.PREPARE, step) for place, step in enumerate(steps))
    return Plan(environment, 0, (Change(1, (), planned, "intent"),))


async def test_another_store_is_told_who_was_there_and_changes_nothing(here: World) -> None:
    """By preflight, and by each step."""
    wanted = service(here)
    await here.target.run(Start(OLD, wanted), BEGINNING)
    before = await stock(here)
    other = here.another_target(api=here.connected(), store="store-2")
    try:
        steps = (Start(NEW, service(here, "2")), leads(OLD), Retire(OLD), Scale(OLD, 0))
        refused = [other.run(step, SUCCESSOR) for step in steps]
        for attempt in [*refused, other.preflight(plan_of()), other.forget("dev", data=True)]:
            with pytest.raises(TargetError) as failure:
                await attempt
            for word in ("store-1", BEGINNING.holder, BEGINNING.plan, "epoch 1", here.namespace):
                assert word in failure.value.detail
            assert "store:" in failure.value.hint
    finally:
        await other.close()
    assert await stock(here) == before


async def test_a_claim_that_somebody_emptied_is_nobodys(here: World, cluster: Cluster) -> None:
    """Nothing is changed before a person has said whose the environment is."""
    wanted = worker(here)
    await here.target.run(Replace(WORKER, wanted), BEGINNING)
    with cluster.client(here.namespace) as client:
        client.patch(ConfigMap, "tidegate-claim", [{"op": "remove", "path": "/data"}], patch_type=PatchType.JSON)
    before = await stock(here)
    with pytest.raises(TargetError) as failure:
        await here.target.run(Replace(NEXT_WORKER, wanted), SUCCESSOR)
    assert "tidegate-claim" in failure.value.summary
    assert await stock(here) == before


async def test_of_two_stores_that_begin_at_once_one_has_the_environment(here: World) -> None:
    """The other one changes nothing of it."""
    wanted = worker(here)
    other = here.another_target(api=here.connected(), store="store-2")
    try:
        told = await asyncio.gather(
            here.target.run(Replace(WORKER, wanted), BEGINNING),
            other.run(Replace(NEXT_WORKER, wanted), BEGINNING),
            return_exceptions=True,
        )
    finally:
        await other.close()
    (failure,) = [each for each in told if isinstance(each, BaseException)]
    assert isinstance(failure, TargetError), failure
    assert "another store" in failure.detail
    assert len((await here.target.observe("dev")).groups) == 1


MOVES: Mapping[str, tuple[Step, str, str, int]] = {  # step, request that is late: method, name, how many come before it
    "route": (leads(NEW), "PATCH", "backend", 0),
    "retire": (Retire(OLD), "DELETE", "backend-r1", 0),
    "scale": (Scale(OLD, 1), "PATCH", "backend-r1", 0),
    "stop of a worker": (Replace(NEXT_WORKER, Pin("", "", Shape()), (), (WORKER,)), "PATCH", "worker-r1", 0),
    "start of a worker": (Replace(NEXT_WORKER, Pin("", "", Shape())), "PATCH", "worker-r2", 1),
}


@pytest.mark.parametrize("move", MOVES)
async def test_what_a_former_holder_sends_late_changes_nothing(
    here: World, cluster: Cluster, tmp_path: Path, move: str
) -> None:
    """Its request is on the way when somebody else takes over."""
    await here.target.run(Start(OLD, service(here, replicas=2)), BEGINNING)
    if move == "route":
        await here.target.run(Start(NEW, service(here, "2")), BEGINNING)
    await here.target.run(leads(OLD), BEGINNING)
    if move == "stop of a worker":
        await here.target.run(Replace(WORKER, worker(here)), BEGINNING)
    step, method, name, before = MOVES[move]
    if isinstance(step, Replace):
        step = Replace(step.group, worker(here, "2"), (), step.stops)
    earlier: list[Call] = []

    def late(call: Call) -> bool:
        met = call.method == method and call.name == name and call.resource in {"deployments", "services"}
        earlier.extend([call] * met)
        return met and len(earlier) > before

    with FaultyApi(cluster.kubeconfig, cluster.context) as api:
        slow = World(cluster, here.namespace, kubeconfig=api.kubeconfig(tmp_path), proxied=False)
        slow.known = here.known
        await slow.target.run(HARMLESS, FORMER)
        held = api.hold(late)
        former = asyncio.create_task(slow.target.run(step, FORMER))
        try:
            await came(held, former)
            await here.target.run(HARMLESS, SUCCESSOR)
            taken_over = await stock(here)
            held.let_go()
            with pytest.raises(OldEpoch) as failure:
                await former
        finally:
            former.cancel()
            await asyncio.gather(former, return_exceptions=True)
            await slow.target.close()
    assert SUCCESSOR.holder in failure.value.detail
    assert await stock(here) == taken_over
    pods = (await here.api.list(POD, here.namespace)).items
    assert not any(pod["metadata"]["name"].startswith("worker-r2") for pod in pods)


async def came(held: Held, sender: asyncio.Task[Any]) -> None:
    """Wait until the request is there."""
    while not await to_thread.run_sync(held.came.wait, 0.1):
        assert not sender.done(), sender.result()


def test_a_field_that_somebody_else_took_is_named_and_the_change_is_undone(
    cluster: Cluster, namespace_name: str, tmp_path: Path
) -> None:
    """And when they let go of it, the change goes through."""
    shop = Shop(cluster, namespace_name, tmp_path, services="a")
    shop.begin()
    shop.version(2)
    with cluster.client(namespace_name) as client:
        found = client.get(Service, "a")
        assert found.spec
        theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": namespace_name}}
        taken = from_dict({**theirs, "spec": {"selector": found.spec.selector}})
        client.apply(taken, field_manager="dashboard", force=True)

        async def refused(hands: Any) -> None:
            (result,) = (await hands.apply(shop.version(2))).changes
            assert result.fate is Fate.UNDONE
            assert isinstance(result.failure, ConflictError)
            assert ".spec.selector" in str(result.failure)
            assert "dashboard" in str(result.failure)
            await shop.rests(hands, 1)

        anyio.run(shop.doing(VICTIM, refused))
        client.apply(from_dict(theirs), field_manager="dashboard")
    shop.version(3)

    async def through(hands: Any) -> None:
        assert (await hands.apply(shop.version(3))).succeeded
        await shop.rests(hands, 3)

    anyio.run(shop.doing(NEXT, through))


async def test_a_number_of_instances_that_kubectl_set_is_not_taken_back_unsaid(here: World, cluster: Cluster) -> None:
    """As `kubectl scale` does it."""
    wanted = service(here)
    await here.target.run(Start(OLD, wanted), BEGINNING)
    with cluster.client(here.namespace) as client:
        scaled = {"spec": {"replicas": 2}}
        client.patch(Deployment.Scale, "backend-r1", scaled, patch_type=PatchType.MERGE, field_manager="kubectl")
        with pytest.raises(ConflictError) as failure:
            await here.target.run(Start(OLD, wanted), FORMER)
        assert ".spec.replicas is set by kubectl" in failure.value.detail
        assert "kubectl" in failure.value.hint
        found = client.get(Deployment, "backend-r1")
        assert found.spec
        assert found.spec.replicas == 2


async def test_what_somebody_else_made_stays_and_its_namespace_with_it(here: World, cluster: Cluster) -> None:
    """Until it is gone; then the namespace that Tidegate made goes too."""
    await here.target.run(Start(OLD, service(here)), BEGINNING)
    await here.target.run(leads(OLD), BEGINNING)
    with cluster.client(here.namespace) as client:
        for each in foreign():
            client.create(from_dict(each))
        before = {key: each for key, each in (await stock(here)).items() if key[1] == "theirs"}
        assert len(before) == 3
        for step in (leads(None), Retire(OLD)):
            await here.target.run(step, BEGINNING)
        await here.target.forget("dev", data=True)
        assert {key: each for key, each in (await stock(here)).items() if key[1] == "theirs"} == before
        assert await everything(here.api, here.namespace) == []
        assert phase(client, here.namespace) == "Active"
        for kind in (ConfigMap, Service, Deployment):
            client.delete(kind, "theirs")
        await here.target.forget("dev", data=True)
        assert here.namespace not in {each.metadata and each.metadata.name for each in client.list(Namespace)}


def foreign() -> list[dict[str, Any]]:
    """What others have in a namespace; no pod runs because of it."""
    metadata = {"name": "theirs"}
    pod = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": pod}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
    ]


def phase(client: Client, namespace: str) -> str:
    found = client.get(Namespace, namespace)
    return str(found.status and found.status.phase)


async def test_a_namespace_that_tidegate_did_not_make_stays(cluster: Cluster, namespace: str) -> None:
    """Empty, as it was found; its labels are those that it had."""
    async with world(cluster, namespace, proxied=False) as here:
        with cluster.client(namespace) as client:
            found = client.get(Namespace, namespace).metadata
            await here.target.run(Start(OLD, service(here)), BEGINNING)
            await here.target.run(Retire(OLD), BEGINNING)
            await here.target.forget("dev", data=True)
            left = client.get(Namespace, namespace).metadata
            assert found
            assert left
            assert left.labels == found.labels
            assert phase(client, namespace) == "Active"
        assert await everything(here.api, namespace) == []


@pytest.mark.parametrize("made_by_tidegate", [True, False])
async def test_the_namespace_of_another_environment_is_refused(
    here: World, cluster: Cluster, made_by_tidegate: bool
) -> None:
    """Of another one, or of another organization, before anything is changed."""
    with cluster.client() as client:
        if not made_by_tidegate:
            client.create(from_dict({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": here.namespace}}))
    wanted = worker(here)
    await here.target.run(Replace(WORKER, wanted), BEGINNING)
    before = await stock(here)
    address = GroupAddress("other", "worker", 1)
    with pytest.raises(TargetError) as failure:
        await here.target.run(Replace(address, wanted), Epoch("other", 9, ("worker",)))
    assert "is the environment dev" in failure.value.detail
    for attempt in (here.target.preflight(plan_of("other")), here.target.forget("other", data=True)):
        with pytest.raises(TargetError):
            await attempt
    if made_by_tidegate:
        elsewhere = strangers(here)
        with pytest.raises(TargetError) as stranger:
            await elsewhere.preflight(plan_of())
        assert "of acme" in stranger.value.detail
        await elsewhere.close()
    assert await stock(here) == before


def strangers(here: World) -> KubernetesTarget:
    """The target of another organization."""

    async def store() -> str:
        return "store-1"

    location = Location("umbrella", lambda _: here.namespace, "")
    return KubernetesTarget(here.connected(), location, releases=here, images=here, secrets=here.secrets, store=store)
