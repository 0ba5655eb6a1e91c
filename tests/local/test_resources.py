"""What the environment runs for its components: kept running like an instance, with a port and data of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.local.worlds import World, alive, database, get, listens, until
from tidegate.errors import StepFailed
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState, ObservedResource
from tidegate.model.pins import Resource
from tidegate.model.step import Provide, Withdraw
from tidegate.ports.target import LogLine

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


async def provided(shop: World, resource: Resource) -> ObservedResource:
    await shop.run(Provide("shop-db", resource))
    return await seen(shop)


async def seen(shop: World) -> ObservedResource:
    return (await shop.target.observe("dev")).resources["shop-db"]


def address(resource: ObservedResource) -> str:
    """Where the stand-in speaks HTTP."""
    return f"http://{resource.url.removeprefix('db://').partition('/')[0]}"


async def test_a_resource_gets_a_port_a_folder_and_a_log(shop: World) -> None:
    """The folder is its own and nobody else's; the log is shown as those of instances are."""
    found = await provided(shop, database(data=True))
    folder = shop.state / "data" / "dev" / "shop-db"
    _, env = await get(address(found), "/env")
    assert (env["DATA"], env["PWD"]) == (str(folder), str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert found.url == f"db://127.0.0.1:{env['PORT']}/1"
    assert (shop.state / "logs" / "dev" / "shop-db.0.log").read_text() == f"listening on {env['PORT']}\n"
    lines = [line async for line in shop.target.logs("dev", [], resources=["shop-db"], tail=9, follow=False)]
    assert lines == [LogLine("shop-db", "shop-db.0", f"listening on {env['PORT']}")]
    assert found.memory > 1_000_000


async def test_a_resource_survives_the_death_of_the_agent_and_is_adopted(shop: World) -> None:
    """Nothing is started anew; the next agent restarts it when it dies, at the same address."""
    before = await provided(shop, database())
    agent = shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    shop.target = shop.another_target()
    adopted = await seen(shop)
    assert (adopted.pid, adopted.url, adopted.restarts) == (before.pid, before.url, 0)
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: restarted(shop))
    assert (await seen(shop)).url == before.url


async def restarted(shop: World) -> bool:
    found = await seen(shop)
    return found.restarts == 1 and found.state is InstanceState.HEALTHY


async def test_a_resource_that_is_not_healthy_any_more_is_started_again_by_provide(shop: World) -> None:
    """One that is healthy is left alone."""
    before = await provided(shop, database())
    await get(address(before), "/sick")
    await until(lambda: unhealthy(shop))
    after = await provided(shop, database())
    assert (after.state, after.pid != before.pid) == (InstanceState.HEALTHY, True)
    assert (await provided(shop, database())).pid == after.pid


async def unhealthy(shop: World) -> bool:
    return (await seen(shop)).state is InstanceState.UNHEALTHY


async def test_a_resource_that_fails_shows_its_last_lines(shop: World) -> None:
    """Whether it ends, or is not healthy in time."""
    with pytest.raises(StepFailed, match="cannot provide shop-db") as failure:
        await provided(shop, database(behaviour="exits"))
    assert failure.value.detail.startswith("exited with 3 after")
    assert failure.value.log[-1] == "cannot go on"
    hasty = Health(HealthKind.HTTP, "/healthz", interval=100, timeout=500, start_timeout=600)
    with pytest.raises(StepFailed) as failure:
        await provided(shop, database("2", behaviour="never-healthy", health=hasty))
    assert failure.value.detail == "not healthy within 0.6 s: GET /healthz answered 500"


async def test_a_group_whose_resource_is_not_there_is_not_started(shop: World) -> None:
    """The resource is named."""
    with pytest.raises(StepFailed, match="cannot start backend") as failure:
        await shop.start(shop.add("backend"), resources={"shop-db": database()})
    assert "shop-db" in failure.value.detail
    assert (await shop.target.observe("dev")).groups == {}


async def test_a_resource_keeps_its_port_until_the_environment_ends(shop: World) -> None:
    """Then nothing of it is left but its data."""
    first = await provided(shop, database(data=True))
    await shop.run(Withdraw("shop-db"))
    again = await provided(shop, database("2", data=True))
    assert address(again) == address(first)
    port = int(address(again).rpartition(":")[2])
    await shop.target.forget("dev")
    assert not alive(again.pid)
    assert not listens(port)
    registry = Path(os.environ["TIDEGATE_STATE_DIR"]) / "ports.json"
    assert json.loads(registry.read_text())["projects"] == {}
    assert not shop.agent()
    assert [path.name for path in (shop.state / "data" / "dev").iterdir()] == ["shop-db"]
    await shop.target.forget("dev", data=True)
    assert not (shop.state / "data" / "dev").exists()


async def test_two_who_provide_the_same_at_once_start_it_once(shop: World) -> None:
    """Both wait for the one."""
    both = await asyncio.gather(*(provided(shop, database()) for _ in range(2)))
    assert both[0].pid == both[1].pid
