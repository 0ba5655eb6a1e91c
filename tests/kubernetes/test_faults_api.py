"""The API server is away, busy, forgetful or loses its answers in the middle of a change: it goes through. Away for
good: the change is unsettled, nothing is taken for absent, and whoever comes when it is back completes it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.points import Points
from tests.faults.scenes import LAST, NEXT, VICTIM, Hands
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import Call, FaultyApi, writes
from tests.kubernetes.shops import Shop, told
from tidegate.errors import TargetUnreachable
from tidegate.execution import Applied, Fate, Place, Recovery
from tidegate.planning import Limit

pytestmark = pytest.mark.anyio
AWAY = 10.0  # seconds
SOON = 2.0  # seconds after which somebody gives up


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Scene:
    """Two services and a worker in version 1, reached by way of an API that can fail."""

    def __init__(self, shop: Shop, api: FaultyApi) -> None:
        self.shop = shop
        self.api = api

    @asynccontextmanager
    async def changing(self, moment: str, *, patience: float = 30.0) -> AsyncIterator[asyncio.Task[Applied]]:
        """Somebody on the way to version 2 who has come to this moment."""
        here = asyncio.Event()

        def come(_number: int, name: str) -> bool:
            if name.startswith(moment):
                here.set()
            return False

        self.shop.version(2)
        async with self.shop.hands(VICTIM, Points(come), patience=patience) as hands:
            task = asyncio.create_task(hands.apply(self.shop.version(2)))
            try:
                while not here.is_set():
                    assert not task.done(), told(task.result())
                    await asyncio.sleep(0.01)
                yield task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def rests(self, version: int) -> None:
        """Nothing is left over."""
        async with self.shop.hands(LAST) as hands:
            await self.shop.rests(hands, version)


@pytest.fixture
async def scene(cluster: Cluster, namespace_name: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with FaultyApi(cluster.kubeconfig, cluster.context) as api:
        shop = Shop(cluster, namespace_name, tmp_path, services="ab", kubeconfig=api.kubeconfig(tmp_path))
        shop.version(1)
        async with shop.hands("here:0:0") as hands:
            applied = await hands.apply(shop.version(1))
            assert applied.succeeded, told(applied)
        yield Scene(shop, api)


async def away(api: FaultyApi) -> None:
    api.down()
    await asyncio.sleep(AWAY)
    api.up()


async def busy(api: FaultyApi) -> None:
    """Requests are refused for a while, which is shorter than anybody gives up."""
    api.answer(429, lambda call: not call.watch, times=4, retry_after=1)
    api.answer(500, lambda call: not call.watch, times=6)
    api.answer(503, writes, times=3)


async def forgetful(api: FaultyApi) -> None:
    """All watches break again and again, and when they come back their version is too old."""
    api.expire(times=24)
    while api.pending():
        api.drop()
        await asyncio.sleep(0.2)


async def silent(api: FaultyApi) -> None:
    """What is written is done, and nobody hears of it."""
    chance = random.Random(7)

    def some(call: Call) -> bool:
        return writes(call) and "authorization" not in call.path and chance.random() < 0.5

    api.lose(some, times=12)


FAULTS: dict[str, Callable[[FaultyApi], Coroutine[Any, Any, None]]] = {
    "away for ten seconds": away,
    "busy": busy,
    "forgetful": forgetful,
    "silent": silent,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_change_goes_through_while_the_api_server_fails(scene: Scene, fault: str) -> None:
    """From the start of the new instances on."""
    async with scene.changing("before append step-begun start:a") as change:
        trouble = asyncio.create_task(FAULTS[fault](scene.api))
        applied = await change
        assert not scene.api.pending(), "it came through before all was tried"
        await trouble
    assert applied.succeeded, told(applied)
    await scene.rests(2)


@pytest.mark.parametrize("how", ["recover", "resume"])
async def test_away_for_good_nothing_is_taken_for_absent_and_the_next_command_completes_it(
    scene: Scene, how: str
) -> None:
    """Back by `recover`, forward by `resume`."""
    async with scene.changing("before append step-begun start:b", patience=SOON) as change:
        scene.api.down()
        (result,) = (await change).changes
        assert result.fate is Fate.UNSETTLED
        assert isinstance(result.failure, TargetUnreachable)
        assert isinstance(result.unfinished, TargetUnreachable)
    async with scene.shop.hands(NEXT, patience=SOON) as hands:
        (claim,) = (await hands.store.environment("dev")).claims
        assert "did not answer" in claim.unsettled
        with pytest.raises(TargetUnreachable):
            await hands.target.observe("dev")
        with pytest.raises(TargetUnreachable):
            await recovery(hands).recover("dev", by_hand=True)
        assert [each.components for each in (await hands.store.environment("dev")).claims] == [claim.components]
    scene.api.up()
    async with scene.shop.hands(LAST) as hands:
        if how == "recover":
            await recovery(hands).recover("dev", by_hand=True)
        else:
            await recovery(hands).resume("dev", {})
        await scene.shop.rests(hands, 1 if how == "recover" else 2)


def recovery(hands: Hands) -> Recovery:
    return Recovery(
        Place(hands.store, hands.target, Limit()),
        holder=hands.holder,
        by="tests",
        report=lambda _: None,
        vanished=lambda _: True,
    )
