"""What `tidegate rbac` prints is enough for all that is done in an environment, and whatever of it is missing is named
before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.least import CONTEXT, forget, least
from tests.kubernetes.shops import SMALL, everything
from tests.kubernetes.worlds import ALIVE, QUICK, World, world
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.kinds import CLUSTER_ROLE, ROLE
from tidegate.drivers.kubernetes.names import fit
from tidegate.drivers.kubernetes.permissions import Rule, permission_objects, rules
from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress, GroupAddress, RunAddress
from tidegate.model.component import Hook, Kind, RunKind
from tidegate.model.pins import Pin, Secret, Shape
from tidegate.model.plan import Change, Plan
from tidegate.model.step import (
    EdgeMove,
    EntryMove,
    Observe,
    Prepare,
    Provide,
    Replace,
    Retire,
    Revert,
    Route,
    Run,
    Scale,
    Start,
    Step,
    Verify,
    Withdraw,
)
from tidegate.ports.target import Epoch, Streams

pytestmark = pytest.mark.anyio
EPOCH = Epoch("dev", 1, ("backend", "frontend", "worker", "db"))
WORKER = GroupAddress("dev", "worker", 1)
TRIES = 50  # until the API server goes by the new rules
NOTHING = Plan("dev", 0, (Change(1, (), (), "intent"),))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rights(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of somebody who has the least."""
    yield least(cluster, namespace, tmp_path)
    forget(cluster, namespace)


async def test_everything_works_with_the_rights_that_are_printed(
    cluster: Cluster, namespace: str, rights: Path
) -> None:
    """Every kind of step, with proxies, data, secrets and a migration; looking at it; and giving it back."""
    restricted = replace(cluster, context=CONTEXT)
    async with world(restricted, namespace, kubeconfig=rights) as here:
        old, new, front = (GroupAddress("dev", *which) for which in (("backend", 1), ("backend", 2), ("frontend", 1)))
        first, second = backend(here, "1"), backend(here, "2")
        page = here.add("frontend", needs=("backend",), health=QUICK)
        run = RunAddress("dev", "backend", second.release, RunKind.BEFORE)
        edge = EdgeAddress(front, "backend")
        await here.target.preflight(NOTHING)
        forward: Sequence[Step] = (
            Provide("db", here.database("1", behaviour="good", data=True, health=QUICK)),
            Prepare("backend", first.release),
            Start(old, first),
            Start(front, Pin(page.digest, "", Shape(cluster=SMALL)), (("backend", old),)),
            Verify(old, first.release),
            Route((EntryMove("backend", old), EntryMove("frontend", front))),
            Run(run, second),
            Start(new, second),
            Route((EntryMove("backend", new),), (EdgeMove(edge, new),)),
            Observe((new,), ("backend",), (edge,), 1, 10_000),
            Scale(new, 1),
            worker(here),
        )
        for step in forward:
            await here.target.run(step, EPOCH)
        seen = await here.target.observe("dev")
        assert seen.entries == {"backend": new, "frontend": front}
        assert run in seen.runs
        printed = here.target.logs("dev", [WORKER], tail=5, follow=False)
        assert [line.text async for line in printed] == ["at work"]
        said: list[bytes] = []
        assert await here.target.run_inside(new, ["sh", "-c", "echo here"], Streams(said.append, said.append)) == 0
        assert b"".join(said) == b"here\n"
        back: Sequence[Step] = (
            Revert(run, second),
            Route((EntryMove("backend", None), EntryMove("frontend", None))),
            *(Retire(group) for group in (front, old, new, WORKER)),
            Withdraw("db"),
        )
        for step in back:
            await here.target.run(step, EPOCH)
        await here.target.forget("dev", data=True)
    async with world(cluster, namespace) as admin:
        assert await everything(admin.api, namespace) == []


def backend(here: World, version: str) -> Pin:
    made = here.add("backend", version, health=QUICK, before=Hook("true", undo="true"), verify="true")
    env = (("TOKEN", Secret("env:TOKEN")),)
    return Pin(made.digest, "", Shape(replicas=2, env=env, cluster=SMALL))


def worker(here: World) -> Step:
    run = "echo at work; exec sleep 1000"
    made = here.add("worker", run=run, health=ALIVE, kind=Kind.WORKER, data=True)
    return Replace(WORKER, Pin(made.digest, "", Shape(cluster=SMALL)))


async def test_each_permission_is_named_when_it_is_missing(cluster: Cluster, namespace: str, rights: Path) -> None:
    """Every rule that is needed, one after the other, and all of them at once."""
    needed = [rule for rule in rules(namespace) if rule.must]
    restricted = replace(cluster, context=CONTEXT)
    async with world(restricted, namespace, kubeconfig=rights) as here, world(cluster, namespace) as admin:
        for lost in [*([rule] for rule in needed), needed, []]:
            await give(admin.api, namespace, [rule for rule in rules(namespace) if rule not in lost])
            wanted = {lacking(rule, resource) for rule in lost for resource in rule.resources}
            for _ in range(TRIES):
                if (said := await missing(here)) == wanted:
                    break
            assert said == wanted


async def give(api: Api, namespace: str, some: Sequence[Rule]) -> None:
    """These rules, instead of those that were given before."""
    left = {
        (each["kind"], each["metadata"].get("namespace", "")): each for each in permission_objects("", namespace, some)
    }
    for kind, place in ((ROLE, namespace), (CLUSTER_ROLE, "")):
        role = left.get((kind.kind, place), {"rules": []})
        await api.patch(kind, fit(f"tidegate-{namespace}"), place, {"rules": role["rules"]})


async def missing(here: World) -> set[str]:
    """What preflight says is missing, without the place and the reason."""
    try:
        await here.target.preflight(NOTHING)
    except TargetError as error:
        assert "tidegate rbac dev" in error.hint  # noqa: PT017 - whether there is an error is what is asked
        return {line.partition(" in ")[0].split(f" {here.namespace}")[0] for line in error.detail.splitlines()}
    return set()


def lacking(rule: Rule, resource: str) -> str:
    """How it is said."""
    what = f"{resource}.{rule.group}" if rule.group else resource
    return f"permission: {', '.join(rule.verbs)} {what}"
