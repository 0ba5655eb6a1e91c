"""Why a step failed is said as soon as it is certain, with the component and the cause; what stands in the way of a
plan is said before anything is made."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from lightkube import Client
from lightkube.codecs import from_dict
from lightkube.resources.rbac_authorization_v1 import Role

from tests.faults.scenes import VICTIM
from tests.kubernetes.ailments import quota
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.least import CONTEXT, forget, least
from tests.kubernetes.shops import SERVES, SMALL, Shop
from tests.kubernetes.worlds import QUICK, World, world
from tidegate.drivers.kubernetes.client import ForbiddenError
from tidegate.errors import StepFailed, TargetError
from tidegate.execution import Fate
from tidegate.model.address import GroupAddress
from tidegate.model.cluster import ClusterShape, Patch
from tidegate.model.component import Artifact, Health, HealthKind
from tidegate.model.pins import Pin, Shape
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.model.step import Start
from tidegate.ports.target import Epoch

pytestmark = pytest.mark.anyio
SLOW = 600_000  # ms that everything may take to become healthy, longer than a test: nothing is told for want of time
PATIENT = replace(QUICK, start_timeout=SLOW)
UNHEALTHY = Health(HealthKind.HTTP, "/healthz", interval=1000, timeout=1000, start_timeout=10_000, failures=1)
ABSENT = "sha256:" + "0" * 64
CRASH = "echo the database is not there; exit 3"
TOLD = {
    "pull": "^cannot have its image .*: not found",
    "crash": "^exited with 3$",
    "probe": "^runs, but its check fails: it answers 500",
    "room": "^finds no node: .*Insufficient cpu$",
    "security": "does not let it start: violates PodSecurity .*host namespaces",
    "root": "has an image that runs as root",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Sick(World):
    """Some releases have other images."""

    async def artifacts(self, release: str) -> list[Artifact]:
        image = {
            "pull": f"{self.cluster.registry}/nowhere@{ABSENT}",
            "root": self.cluster.images["base"],
        }.get(self.known[release].component, self.cluster.images["python"])
        return [Artifact(image.partition("@")[2], release, "image", "linux/amd64", image)]


def patched(kind: str, **spec: Any) -> ClusterShape:
    return replace(SMALL, patches=(Patch(kind, json.dumps({"spec": {"template": {"spec": spec}}})),))


def sick(here: World, component: str) -> Pin:
    """The pin of a component that is called as what is wrong with it."""
    run = {"crash": CRASH, "probe": f"{SERVES} never-healthy"}.get(component, SERVES)
    health = UNHEALTHY if component == "probe" else PATIENT
    made = here.add(component, run=run, health=health)
    cluster = {
        "room": replace(SMALL, requests=(("cpu", "100"), ("memory", "32Mi"))),
        "security": patched("Deployment", hostNetwork=True),
    }.get(component, SMALL)
    return Pin(made.digest, "", Shape(cluster=cluster))


async def failure(here: World, component: str, wanted: Pin) -> StepFailed:
    with pytest.raises(StepFailed) as raised:
        await here.target.run(Start(GroupAddress("dev", component, 1), wanted), Epoch("dev", 1, (component,)))
    return raised.value


async def test_the_cause_is_told_before_the_time_to_start_is_over(cluster: Cluster, namespace_name: str) -> None:
    """Side by side, each with its component, its instance and what helps."""
    here = Sick(cluster, namespace_name, proxied=False)
    try:
        failures = await asyncio.gather(*(failure(here, name, sick(here, name)) for name in TOLD))
    finally:
        await here.target.close()
    for (name, pattern), told in zip(TOLD.items(), failures, strict=True):
        assert re.search(pattern, told.detail), (name, told.detail)
        assert told.component == name
        assert told.summary == f"cannot start {name}"
        assert name == "security" or told.instance.startswith(f"{name}-r1-"), (name, told.instance)
    by_name = dict(zip(TOLD, failures, strict=True))
    assert by_name["crash"].log == ("the database is not there",)
    assert "USER 65532" in by_name["root"].hint


async def test_a_namespace_without_room_says_so(cluster: Cluster, namespace: str) -> None:
    """By preflight before anything is made, and by the step if somebody took the room meanwhile."""
    async with world(cluster, namespace, proxied=False) as here:
        await here.api.apply(quota(namespace))
        wanted = Pin(here.add("backend", run=SERVES, health=PATIENT).digest, "", Shape(cluster=SMALL))
        step = Start(GroupAddress("dev", "backend", 1), wanted)
        plan = Plan("dev", 0, (Change(1, (), (PlannedStep("s", Phase.PREPARE, step),), "intent"),))
        with pytest.raises(TargetError) as before:
            await here.target.preflight(plan)
        assert "quota small: pods: 1 more are needed, 0 of 0 are used" in before.value.detail
        told = await failure(here, "backend", wanted)
        assert "exceeded quota: small" in told.detail


@pytest.fixture
async def restricted(cluster: Cluster, namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    """Worked on by somebody who has the least."""
    rights = least(cluster, namespace, tmp_path)
    async with world(replace(cluster, context=CONTEXT), namespace, kubeconfig=rights, proxied=False) as here:
        yield here
    forget(cluster, namespace)


def take_away(client: Client, namespace: str, group: str, resource: str, verb: str) -> None:
    """From everybody who has the least in a namespace."""
    (role,) = [each for each in client.list(Role) if (each.metadata and each.metadata.name) == f"tidegate-{namespace}"]
    for rule in role.rules or []:
        if rule.apiGroups == [group] and resource in (rule.resources or []):
            rule.verbs.remove(verb)
    assert role.metadata
    role.metadata.managedFields = None
    client.replace(role)


async def test_a_permission_that_was_taken_away_is_named(restricted: World, client: Client) -> None:
    """By the step that needs it."""
    wanted = Pin(restricted.add("backend", run=SERVES, health=PATIENT).digest, "", Shape(cluster=SMALL))
    take_away(client, restricted.namespace, "apps", "deployments", "create")
    with pytest.raises(TargetError) as told:
        await restricted.target.run(Start(GroupAddress("dev", "backend", 1), wanted), Epoch("dev", 1, ("backend",)))
    assert isinstance(told.value, ForbiddenError)
    assert f"create deployments.apps in the namespace {restricted.namespace}" in told.value.detail
    assert "backend-r1" in told.value.summary
    assert "tidegate rbac" in told.value.hint


async def test_permissions_room_and_version_are_named_together(restricted: World, client: Client) -> None:
    """In one answer, before anything is made."""

    async def old() -> tuple[int, int]:
        return 1, 29

    client.create(from_dict(quota(restricted.namespace)))
    take_away(client, restricted.namespace, "", "pods", "delete")
    take_away(client, restricted.namespace, "apps", "deployments", "delete")
    restricted.api.version = old  # type: ignore[method-assign]
    wanted = Pin(restricted.add("backend", run=SERVES, health=PATIENT).digest, "", Shape(cluster=SMALL))
    step = Start(GroupAddress("dev", "backend", 1), wanted)
    plan = Plan("dev", 0, (Change(1, (), (PlannedStep("s", Phase.PREPARE, step),), "intent"),))
    with pytest.raises(TargetError) as told:
        await restricted.target.preflight(plan)
    for line in (
        "version: the API server is Kubernetes 1.29",
        "delete pods in",
        "delete deployments.apps",
        "quota small",
    ):
        assert line in told.value.detail
    assert (await restricted.target.observe("dev")).groups == {}


def test_an_executor_tells_the_cause_and_puts_everything_back(
    cluster: Cluster, namespace_name: str, tmp_path: Path
) -> None:
    """One of three components crashes: its last words are in the result, and all are as they were."""
    shop = Shop(cluster, namespace_name, tmp_path, services="a")
    shop.begin()
    pins = dict(shop.version(2))
    shop.work.versions[2] = pins  # type: ignore[index]
    broken = shop.world().add("a", "broken", run=CRASH, health=PATIENT)
    pins["a"] = replace(pins["a"], release=broken.digest)

    async def up(hands: Any) -> None:
        (result,) = (await hands.apply(pins)).changes
        assert result.fate is Fate.UNDONE
        assert isinstance(result.failure, StepFailed)
        assert result.failure.component == "a"
        assert result.failure.detail == "exited with 3"
        assert result.failure.log == ("the database is not there",)
        await shop.rests(hands, 1)

    anyio.run(shop.doing(VICTIM, up))
