"""What would stand in the way, and what is needed at least."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client, codecs
from lightkube.resources.core_v1 import Namespace

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.instances import program
from tests.kubernetes.least import CONTEXT, forget, least
from tests.kubernetes.place import ENVIRONMENT, SOMEBODY, Place, migration, pin, place
from tests.kubernetes.worlds import World
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT
from tidegate.drivers.kubernetes.objects.group import group_objects
from tidegate.drivers.kubernetes.permissions import permission_objects, rules
from tidegate.drivers.kubernetes.preflight import Preflight
from tidegate.drivers.kubernetes.runs import Runs
from tidegate.errors import TargetError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.cluster import ClusterShape, Patch
from tidegate.model.component import Release, RunKind
from tidegate.model.pins import Pin, Shape
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.model.step import Run, Start

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rights(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of somebody who has the least."""
    yield least(cluster, namespace, tmp_path)
    forget(cluster, namespace)


@pytest.fixture
async def here(cluster: Cluster, namespace: str, rights: Path) -> AsyncIterator[Place]:
    """Worked on by somebody who has the least."""
    made = place(CONTEXT, rights, namespace, cluster.images["base"])
    yield made
    await made.close()


def plan_of(*steps: Start) -> Plan:
    planned = tuple(PlannedStep(str(place), Phase.PREPARE, step) for place, step in enumerate(steps))
    return Plan(ENVIRONMENT, 0, (Change(1, (), planned, "intent"),))


def start(release: Release, wanted: Pin) -> Start:
    return Start(GroupAddress(ENVIRONMENT, release.component, 1), wanted)


def preflight(here: Place, api: Api | None = None, *, namespace: str = "", alone: bool = False) -> Preflight:
    space = namespace or here.area.namespace

    async def objects(step: Any) -> Sequence[dict[str, Any]]:
        await here.area.mirror.ready()
        source = await here.sources.of_group(here.area, step.group, step.pin, dict(step.edges))
        return group_objects(space, source, proxy="")

    return Preflight(api or here.api, ENVIRONMENT, space, objects, alone=alone)


async def test_whoever_has_the_least_is_let_through_and_can_run_what_has_to_run(here: Place) -> None:
    """Nothing that is asked for is left out, and nothing was changed by asking."""
    release = here.releases.make("backend", "1", migration("true"))
    await preflight(here).check(plan_of(start(release, pin(release))))
    assert (await here.api.list(DEPLOYMENT, here.area.namespace)).items == []
    run = RunAddress(ENVIRONMENT, "backend", release.digest, RunKind.BEFORE)
    await Runs(here.area, here.claims, here.sources).run(Run(run, pin(release)), await here.epoch())


@pytest.mark.parametrize(
    "lost", [("apps", "deployments", "patch"), ("", "pods/log", "get"), ("batch", "jobs", "watch")]
)
async def test_each_permission_that_is_missing_is_named(
    cluster: Cluster, here: Place, rights: Path, client: Client, lost: tuple[str, str, str]
) -> None:
    """With the resource, the namespace and what helps."""
    group, resource, verb = lost
    objects = permission_objects(ENVIRONMENT, here.area.namespace, rules(here.area.namespace))
    for each in objects:
        for rule in each.get("rules", ()):
            if rule["apiGroups"] == [group] and resource in rule["resources"]:
                rule["verbs"].remove(verb)
        if "rules" in each:
            each["rules"] = [rule for rule in each["rules"] if rule["verbs"]]
        client.apply(codecs.from_dict(each), field_manager="tests", force=True)
    with pytest.raises(TargetError) as failure:
        await preflight(here).check(plan_of())
    named = f"{resource}.{group}" if group else resource
    assert f"permission: {verb} {named} in {here.area.namespace}" in failure.value.detail
    assert failure.value.detail.count("\n") == 0
    assert "tidegate rbac" in failure.value.hint


async def test_whoever_may_not_even_look_is_told_all_that_is_missing(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """With the first look, and not one permission after the other."""
    account = [each for each in permission_objects(ENVIRONMENT, namespace, ()) if each["kind"] == "ServiceAccount"]
    nobody = least(cluster, namespace, tmp_path, objects=account)
    world = World(cluster, namespace, kubeconfig=nobody, context=CONTEXT)
    with pytest.raises(TargetError) as failure:
        await world.target.observe(ENVIRONMENT)
    await world.target.close()
    said = failure.value.detail.splitlines()
    assert f"permission: get, list, watch, create, update, patch, delete deployments.apps in {namespace}" in said
    assert len(said) > 10


async def test_all_that_is_missing_is_named_at_once(cluster: Cluster, here: Place, client: Client) -> None:
    """Room, pod security, and what the API server says to the objects."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": here.area.namespace},
        "spec": {"hard": {"pods": "3", "limits.memory": "1Gi"}},
    }
    client.create(codecs.from_dict(quota))
    many = here.releases.make("backend", "1", program("sleep infinity"))
    loud = here.releases.make("frontend", "1", program("sleep infinity"))
    template = json.loads(SOMEBODY)
    template["spec"]["template"]["spec"]["hostNetwork"] = True
    patched = ClusterShape(patches=(Patch("Deployment", json.dumps(template)),))
    wrong = ClusterShape(patches=(Patch("Deployment", json.dumps({"spec": {"paused": "certainly"}})),))
    odd = here.releases.make("odd", "1", program("sleep infinity"))
    with pytest.raises(TargetError) as failure:
        await preflight(here).check(
            plan_of(
                start(many, pin(many, replicas=4)),
                start(loud, Pin(loud.digest, "", Shape(cluster=patched))),
                start(odd, Pin(odd.digest, "", Shape(cluster=wrong))),
            )
        )
    said = failure.value.detail
    assert "quota small: pods: 6 more are needed, 0 of 3 are used" in said
    assert "quota small: limits.memory: 3Gi more are needed" in said
    assert "frontend-r1: hostNetwork may not be true" in said
    assert "Deployment odd-r1: " in said


async def test_who_is_to_be_alone_on_a_cluster_is_told_who_else_is_there(
    cluster: Cluster, here: Place, client: Client
) -> None:
    """Isolation `server`; a namespace that is yet to be made is nothing that stands in the way."""
    other = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": f"{here.area.namespace}-other",
            "labels": {"app.kubernetes.io/managed-by": "tidegate", "tidegate.dev/environment": ENVIRONMENT},
        },
    }
    admin = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    client.create(codecs.from_dict(other))
    try:
        with pytest.raises(TargetError) as alone:
            await preflight(here, admin, alone=True).check(plan_of())
        assert f"{here.area.namespace}-other" in alone.value.detail
        with pytest.raises(TargetError) as unmade:
            await preflight(here, namespace=f"{here.area.namespace}-new").check(plan_of())
        assert f"permission: get namespaces {here.area.namespace}-new in the cluster" in unmade.value.detail
        assert f"configmaps in {here.area.namespace}-new" in unmade.value.detail
        await preflight(here, admin, namespace=f"{here.area.namespace}-new").check(plan_of())
    finally:
        await admin.close()
        client.delete(Namespace, f"{here.area.namespace}-other")
