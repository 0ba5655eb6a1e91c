"""However much there is in an environment, the API server is asked as often."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import Call, FaultyApi
from tests.kubernetes.shops import SERVES, SMALL
from tests.kubernetes.worlds import QUICK, World, world
from tidegate.drivers.kubernetes.objects.group import group_objects
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.model.address import GroupAddress
from tidegate.model.pins import Pin, Shape
from tidegate.model.step import EntryMove, Observe, Retire, Route, Scale, Start
from tidegate.ports.target import Epoch

pytestmark = pytest.mark.anyio
FEW, MANY = 3, 60


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def api(cluster: Cluster) -> Iterator[FaultyApi]:
    """Counts."""
    with FaultyApi(cluster.kubeconfig, cluster.context) as made:
        yield made


@pytest.fixture
async def here(cluster: Cluster, namespace: str, api: FaultyApi, tmp_path: Path) -> AsyncIterator[World]:
    async with world(cluster, namespace, kubeconfig=api.kubeconfig(tmp_path), proxied=False) as made:
        yield made


def group(number: int) -> GroupAddress:
    return GroupAddress("dev", f"s{number}", 1)


def asked(calls: Iterable[Call]) -> Counter[tuple[str, str]]:
    """How often what was listed or watched."""
    return Counter(
        (call.resource, "watch" if call.watch else "list") for call in calls if call.method == "GET" and not call.name
    )


async def test_what_is_there_is_seen_in_as_many_requests_however_much_it_is(here: World, api: FaultyApi) -> None:
    """Instance groups that nobody pays for: without instances."""
    image = here.cluster.images["python"]
    counted: list[list[Call]] = []
    for first, last in ((0, FEW), (FEW, MANY)):
        objects = []
        for number in range(first, last):
            release = here.add(f"s{number}", run=SERVES, health=QUICK)
            source = GroupSource(
                group=group(number),
                pin=Pin(release.digest, "", Shape(replicas=0, cluster=SMALL)),
                release=release,
                image=image,
                settings=None,
                edges={},
                resources={},
                organization="acme",
                aliases={},
                addresses={},
            )
            objects += [
                each for each in group_objects(here.namespace, source, proxy="") if each["kind"] == "Deployment"
            ]
        await asyncio.gather(*(here.api.apply(each) for each in objects))
        api.calls.clear()
        assert len((await here.target.observe("dev")).groups) == last
        counted.append(list(api.calls))
    few, many = counted
    assert len(few) == len(many)
    assert asked(few) == asked(many)


async def test_a_change_of_several_services_lists_no_more_than_one_of_one(here: World, api: FaultyApi) -> None:
    """Everything is listed once and then watched, from the start of the first to the end of the last."""
    counted: list[Counter[tuple[str, str]]] = []
    for epoch, numbers in ((1, range(1)), (2, range(1)), (3, range(1, 4))):
        target = here.another_target(api=here.connected())
        api.calls.clear()
        try:
            await whole(here, target, Epoch("dev", epoch, tuple(f"s{number}" for number in numbers)), numbers)
        finally:
            await target.close()
        counted.append(asked(call for call in api.calls if not call.watch and call.resource != "events"))
    _first, one, three = counted  # whoever comes first has nobody else's claim to look at
    assert three == one


async def whole(here: World, target: Any, epoch: Epoch, numbers: Sequence[int]) -> None:
    """The life of some groups."""
    pins = {
        number: Pin(here.add(f"s{number}", run=SERVES, health=QUICK).digest, "", Shape(cluster=SMALL))
        for number in numbers
    }
    groups = tuple(group(number) for number in numbers)
    await asyncio.gather(*(target.run(Start(group(number), pin), epoch) for number, pin in pins.items()))
    await target.run(Route(tuple(EntryMove(each.component, each) for each in groups)), epoch)
    await target.run(Observe(groups, (), (), 1, 0), epoch)
    await target.run(Route(tuple(EntryMove(each.component, None) for each in groups)), epoch)
    await asyncio.gather(*(target.run(Scale(each, 0), epoch) for each in groups))
    await asyncio.gather(*(target.run(Retire(each), epoch) for each in groups))
