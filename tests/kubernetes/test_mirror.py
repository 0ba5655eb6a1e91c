"""What the mirror promises: it sees everything that is ours, and never takes blindness for absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import FaultyApi, watches
from tests.kubernetes.test_client import as_account, note
from tidegate.drivers.kubernetes import client
from tidegate.drivers.kubernetes.client import Api, ForbiddenError
from tidegate.drivers.kubernetes.kinds import CONFIG_MAP, SERVICE
from tidegate.drivers.kubernetes.mirror import Mirror
from tidegate.errors import TargetUnreachable

pytestmark = pytest.mark.anyio

OURS: dict[str, Any] = {"labels": {"app.kubernetes.io/managed-by": "tidegate"}}
LONG = 30.0  # seconds; nothing takes as long


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    made = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[FaultyApi]:
    with FaultyApi(cluster.kubeconfig, cluster.context) as between:
        yield between


@pytest.fixture
async def through(cluster: Cluster, faulty: FaultyApi, tmp_path: Path) -> AsyncIterator[Api]:
    made = Api.connect(cluster.context, kubeconfig=faulty.kubeconfig(tmp_path))
    yield made
    await made.close()


@pytest.fixture
async def mirror(through: Api, namespace: str) -> AsyncIterator[Mirror]:
    made = Mirror(through, namespace, (CONFIG_MAP, SERVICE))
    yield made
    await made.close()


def texts(mirror: Mirror) -> dict[str, str]:
    return {name: each["data"]["text"] for name, each in mirror.objects(CONFIG_MAP).items()}


async def comes(mirror: Mirror, wanted: dict[str, str]) -> None:
    """The mirror shows these notes, and no others."""
    found = await mirror.until(lambda: True if texts(mirror) == wanted else None, seconds=LONG)
    assert found, texts(mirror)


async def test_it_shows_what_is_ours_as_it_is_made_changed_and_removed(
    api: Api, mirror: Mirror, namespace: str
) -> None:
    await api.apply(note(namespace, "one", **OURS))
    await api.apply(note(namespace, "foreign"))
    await comes(mirror, {"one": "a"})
    await api.apply(note(namespace, "two", **OURS))
    await api.apply(note(namespace, "one", "b", **OURS))
    await comes(mirror, {"one": "b", "two": "a"})
    await api.delete(CONFIG_MAP, "one", namespace)
    await comes(mirror, {"two": "a"})
    assert mirror.objects(CONFIG_MAP)["two"]["kind"] == "ConfigMap"


async def test_what_is_waited_for_may_depend_on_the_time_alone(mirror: Mirror) -> None:
    looks: list[int] = []

    def third() -> int | None:
        looks.append(0)
        return len(looks) if len(looks) == 3 else None

    assert await mirror.until(third, seconds=LONG) == 3
    assert await mirror.until(lambda: True if len(looks) == 4 else None, seconds=0) is None


async def test_what_we_wrote_ourselves_is_seen_at_once_and_not_put_back(
    api: Api, mirror: Mirror, namespace: str
) -> None:
    await mirror.ready()
    first = await api.apply(note(namespace, "one", **OURS))
    second = await api.apply(note(namespace, "one", "b", **OURS))
    mirror.saw(CONFIG_MAP, second)
    assert texts(mirror) == {"one": "b"}
    mirror.saw(CONFIG_MAP, first)
    assert texts(mirror) == {"one": "b"}
    await api.delete(CONFIG_MAP, "one", namespace)
    await comes(mirror, {})
    mirror.saw(CONFIG_MAP, second)
    assert texts(mirror) == {}


@pytest.mark.parametrize("fault", ["dropped", "gone", "expired", "busy", "away"])
async def test_a_watch_that_breaks_loses_nothing(
    api: Api, faulty: FaultyApi, mirror: Mirror, namespace: str, fault: str
) -> None:
    await api.apply(note(namespace, "one", **OURS))
    await api.apply(note(namespace, "two", **OURS))
    await comes(mirror, {"one": "a", "two": "a"})
    while faulty.under_way() < 2:
        await mirror.until(lambda: None, seconds=0.05)
    match fault:
        case "gone":
            faulty.answer(410, watches, times=3)
        case "expired":
            faulty.expire(times=3)
        case "busy":
            faulty.answer(503, lambda _: True, times=5)
        case "away":
            faulty.down()
    assert faulty.drop() or fault == "away"
    await api.delete(CONFIG_MAP, "one", namespace)
    await api.apply(note(namespace, "two", "b", **OURS))
    await api.apply(note(namespace, "three", **OURS))
    faulty.up()
    await comes(mirror, {"two": "b", "three": "a"})
    await api.apply(note(namespace, "three", "c", **OURS))
    await comes(mirror, {"two": "b", "three": "c"})


async def test_a_watch_goes_on_after_the_server_has_ended_it(
    api: Api, faulty: FaultyApi, mirror: Mirror, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WATCHED", 1)
    await mirror.ready()
    while faulty.count("GET", "configmaps", watch=True) < 3:
        await mirror.until(lambda: None, seconds=0.2)
    await api.apply(note(namespace, "one", **OURS))
    await comes(mirror, {"one": "a"})
    assert faulty.count("GET", "configmaps", watch=False) == 1


async def test_a_connection_that_died_unnoticed_is_found(
    api: Api, faulty: FaultyApi, mirror: Mirror, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WATCHED", 0)  # and after CONNECTS the silence is over
    monkeypatch.setattr(client, "CONNECTS", 0.5)
    faulty.delay(1000, watches, times=2)
    await mirror.ready()
    await api.apply(note(namespace, "one", **OURS))
    await comes(mirror, {"one": "a"})


async def test_away_for_good_is_unreachable_and_never_nothing_there(
    api: Api, cluster: Cluster, faulty: FaultyApi, namespace: str, tmp_path: Path
) -> None:
    await api.apply(note(namespace, "one", **OURS))
    through = Api.connect(cluster.context, kubeconfig=faulty.kubeconfig(tmp_path), patience=1)
    mirror = Mirror(through, namespace, (CONFIG_MAP, SERVICE))
    await comes(mirror, {"one": "a"})
    faulty.down()
    with pytest.raises(TargetUnreachable, match="did not answer"):
        await mirror.until(lambda: True if texts(mirror) != {"one": "a"} else None, seconds=LONG)
    with pytest.raises(TargetUnreachable):
        mirror.objects(CONFIG_MAP)
    never = Mirror(through, namespace, (CONFIG_MAP,))
    with pytest.raises(TargetUnreachable):
        await never.ready()
    faulty.up()
    await comes(mirror, {"one": "a"})
    for each in (mirror, never):
        await each.close()
    await through.close()


async def test_a_missing_permission_is_told_to_who_waits(
    api: Api, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    weak = Api.connect(cluster.context, kubeconfig=await as_account(api, cluster, namespace, tmp_path))
    mirror = Mirror(weak, namespace, (CONFIG_MAP,))
    with pytest.raises(ForbiddenError, match="lacks the permission to list configmaps"):
        await mirror.until(lambda: None, seconds=LONG)
    await mirror.close()
    await weak.close()


async def test_it_asks_no_more_often_for_many_objects_than_for_few(
    api: Api, faulty: FaultyApi, mirror: Mirror, namespace: str
) -> None:
    await mirror.ready()
    asked = len(faulty.calls)
    many: dict[str, Any] = {f"n{number}": "a" for number in range(100)}
    await asyncio.gather(*(api.apply(note(namespace, name, **OURS)) for name in many))
    await asyncio.gather(*(comes(mirror, many) for _ in range(20)))
    lists = [call for call in faulty.calls[asked:] if not call.watch]
    assert not lists
