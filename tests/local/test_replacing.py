"""What may not run twice is stopped before its successor starts, whatever happens in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.local.worlds import ALIVE, World, alive, get, until
from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release
from tidegate.model.observed import InstanceState, ObservedGroup
from tidegate.model.step import Retire

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

FIXED = 29_986


async def seen(shop: World, group: GroupAddress) -> ObservedGroup:
    return (await shop.target.observe("dev")).groups[group]


async def test_a_service_with_a_fixed_port_is_replaced_in_place(shop: World) -> None:
    """The old instance answers what it has begun and gives its port back; callers get 503 until the switch."""
    releases = [shop.add("backend", version, port=FIXED, drain=5000) for version in ("1", "2")]
    old, _ = await shop.start(releases[0])
    url = (await shop.enter(old))["backend"]
    with pytest.raises(StepFailed, match="cannot start backend"):
        await shop.start(releases[1], born=3)
    await shop.run(Retire(shop.group(born=3)))
    slow = asyncio.create_task(get(url, "/slow"))
    await until(lambda: in_flight(FIXED))
    replacing = asyncio.create_task(shop.replace(releases[1], 2, old))
    await until(lambda: refused(url))
    assert (await slow)[0] == 200
    new = await replacing
    assert await refused(url)
    await shop.enter(new)
    assert (await get(url, "/env"))[1]["PORT"] == str(FIXED)
    await shop.replace(releases[0], 1, new)
    await shop.enter(old)
    assert (await get(url))[0] == 200


def in_flight(port: int) -> bool:
    line = f":{port:04X} 0100007F:"
    return any(line in entry and " 01 " in entry for entry in Path("/proc/net/tcp").read_text().splitlines())


async def refused(url: str) -> bool:
    return (await get(url))[0] == 503


class Ledger:
    """What workers of a test write down: who begins, is asked to end, and ends."""

    def __init__(self, shop: World) -> None:
        self.file = shop.root / "ledger"
        self.go = shop.root / "go"

    def worker(self, shop: World, version: str) -> Release:
        """Asked to end, it ends when `go` is there."""
        end = f"echo {version} asked >> {self.file}; until [ -e {self.go} ]; do sleep 0.02; done"
        run = (
            f"trap '{end}; echo {version} ends >> {self.file}; exit 0' TERM; echo {version} begins >> {self.file}; "
            "while :; do sleep 0.02; done"
        )
        return shop.add("backend", version, run=run, health=ALIVE, kind=Kind.WORKER, data=True, grace=20_000)

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def most_at_once(self) -> int:
        at_once = [0]
        for line in self.lines():
            at_once.append(at_once[-1] + line.endswith("begins") - line.endswith("ends"))
        return max(at_once)


@pytest.mark.parametrize("moment", ["1 asked", "1 ends"])
async def test_a_worker_never_runs_twice_when_the_agent_dies_while_it_is_replaced(shop: World, moment: str) -> None:
    """Neither does the next agent start again what was to be stopped: it ends it, and the same step goes on."""
    ledger = Ledger(shop)
    old, _ = await shop.start(ledger.worker(shop, "1"))
    successor = ledger.worker(shop, "2")
    replacing = asyncio.create_task(shop.replace(successor, 2, old))
    await until(lambda: "1 asked" in ledger.lines())
    replacing.cancel()
    await asyncio.wait([replacing])
    if moment == "1 ends":
        ledger.go.touch()
        await until(lambda: moment in ledger.lines())
    agent = shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    assert (await seen(shop, old)).replicas == 0
    ledger.go.touch()
    await until(lambda: gone(shop, old))
    new = await shop.replace(successor, 2, old)
    assert [line for line in ledger.lines() if line.endswith(("begins", "ends"))] == ["1 begins", "1 ends", "2 begins"]
    await shop.replace(ledger.worker(shop, "1"), 1, new)
    assert (ledger.most_at_once(), ledger.lines()[-1]) == (1, "1 begins")
    assert ((await seen(shop, old)).healthy, (await seen(shop, new)).instances) == (1, ())


async def gone(shop: World, group: GroupAddress) -> bool:
    return (await seen(shop, group)).instances == ()


async def test_a_worker_needs_no_port_and_is_restarted_when_it_ends(shop: World) -> None:
    """It calls what it needs; what its traffic leads to is not retired under it."""
    backend, _ = await shop.start(shop.add("backend"))
    once = shop.root / "once"
    run = f'test -z "$PORT" || exit 9; echo to $BACKEND_URL; test -e {once} || {{ touch {once}; sleep 0.3; exit 4; }}; '
    release = shop.add("frontend", run=run + "sleep 1000", health=ALIVE, kind=Kind.WORKER, verify="exit 0")
    group, address = await shop.start(release, edges={"backend": backend})
    assert address == ""
    await until(lambda: healthy_again(shop, group))
    (instance,) = (await seen(shop, group)).instances
    assert (instance.restarts, instance.address) == (1, "")
    log = (shop.state / "logs" / "dev" / "frontend-r1.0.log").read_text()
    assert (await get(log.splitlines()[-1].removeprefix("to ")))[0] == 200
    with pytest.raises(StepFailed, match="cannot retire backend"):
        await shop.run(Retire(backend))


async def healthy_again(shop: World, group: GroupAddress) -> bool:
    (instance,) = (await seen(shop, group)).instances
    return instance.state is InstanceState.HEALTHY and instance.restarts == 1
