"""Instances are kept running, and stopped whole."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from tests.local.worlds import QUICK, SERVICE, World, alive, get, listens, python, until
from tidegate.errors import StepFailed
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState, ObservedInstance
from tidegate.model.step import Observe, Retire, Scale, Verify

# ruff: noqa: ASYNC240 - files are looked at, not served
pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


async def only(shop: World, born: int = 1) -> ObservedInstance:
    seen = await shop.target.observe(shop.environment)
    return seen.groups[shop.group(born=born)].instances[0]


async def test_an_instance_that_ends_is_started_again(shop: World) -> None:
    """On the same port, and counted."""
    _, url = await shop.start(shop.add("backend"))
    before = await only(shop)
    assert before.memory > 1_000_000
    with pytest.raises((ValueError, IndexError, ConnectionError, TimeoutError)):
        await get(f"http://{before.address}", "/exit")
    await until(lambda: back(shop, before.pid))
    after = await only(shop)
    assert (after.restarts, after.address) == (1, before.address)
    await until(lambda: answers(url))


async def back(shop: World, former: int) -> bool:
    instance = await only(shop)
    return instance.state is InstanceState.HEALTHY and instance.pid != former


async def answers(url: str) -> bool:
    return (await get(url))[0] == 200


async def test_an_instance_that_ends_again_and_again_is_crash_looping(shop: World) -> None:
    """It is restarted less and less often, and seen as what it is; starting it again tries at once."""
    flag = shop.root / "broken"
    release = shop.add("backend", run=f"test ! -e {flag} || exit 4; {python(SERVICE)}")
    group, _ = await shop.start(release)
    flag.touch()
    with pytest.raises((ValueError, IndexError, ConnectionError, TimeoutError)):
        await get(f"http://{(await only(shop)).address}", "/exit")
    await until(lambda: crash_looping(shop))
    flag.unlink()
    again, _ = await shop.start(release)
    assert again == group
    assert (await only(shop)).state is InstanceState.HEALTHY


async def crash_looping(shop: World) -> bool:
    return (await only(shop)).state is InstanceState.CRASH_LOOPING


async def test_a_hung_instance_is_routed_around_and_comes_back(shop: World) -> None:
    """As long as another one is healthy, nobody waits for it."""
    group, url = await shop.start(shop.add("backend"), replicas=2)
    instances = (await shop.target.observe("dev")).groups[group].instances
    sick = f"http://{instances[0].address}"
    await get(sick, "/sick")
    await until(lambda: state_is(shop, InstanceState.UNHEALTHY))
    healthy = (await get(f"http://{instances[1].address}", "/pid"))[1]
    await until(lambda: all_from(url, healthy["pid"]))
    await get(sick, "/well")
    await until(lambda: state_is(shop, InstanceState.HEALTHY))


async def state_is(shop: World, state: InstanceState) -> bool:
    return (await only(shop)).state is state


async def all_from(url: str, pid: int) -> bool:
    return all([(await get(url, "/pid"))[1]["pid"] == pid for _ in range(8)])


@pytest.mark.parametrize("leaving", ["", "setsid "])
async def test_a_stopped_instance_takes_its_grandchildren_with_it(shop: World, leaving: str) -> None:
    """Also those that ignore SIGTERM, and those that left the process group."""
    note = shop.root / "grandchild"
    stubborn = f"{leaving}sh -c 'trap \"\" TERM; echo $$ > {note}; while :; do sleep 1; done' & {python(SERVICE)}"
    group, _ = await shop.start(shop.add("backend", run=stubborn, grace=300))
    await until(lambda: note.exists() and note.read_text().strip())
    pid, grandchild = (await only(shop)).pid, int(note.read_text())
    assert alive(grandchild)
    await shop.run(Retire(group))
    assert not alive(pid)
    await until(lambda: not alive(grandchild))


async def test_an_instance_has_its_grace_to_finish(shop: World) -> None:
    """SIGTERM first; what it prints while it ends is kept."""
    run = "trap 'echo finishing; sleep 0.3; echo finished; exit 0' TERM; while :; do sleep 0.05; done"
    group, _ = await shop.start(shop.add("backend", run=run, health=Health(HealthKind.COMMAND, "true")))
    await shop.run(Retire(group))
    log = (shop.state / "logs" / "dev" / "backend-r1.0.log").read_text()
    assert "finishing" in log
    assert log.endswith("finished\n")


async def test_a_failing_start_shows_the_last_lines_of_the_instance_at_fault(shop: World) -> None:
    """At once: nobody waits for the time-out of a program that has ended."""
    release = shop.add("backend", run="for i in $(seq 30); do echo line $i; done; exit 3")
    async with asyncio.timeout(5):
        with pytest.raises(StepFailed) as failure:
            await shop.start(release, replicas=2)
    error = failure.value
    assert error.component == "backend"
    assert error.instance.startswith("backend-r1.")
    assert error.detail.startswith("exited with 3 after 0.")
    assert error.log[0] == "line 16"
    assert error.log[-1] == "line 30"


async def test_a_start_that_is_not_healthy_in_time_says_what_the_check_saw(shop: World) -> None:
    """The reason is the answer of the last attempt."""
    hasty = Health(HealthKind.HTTP, "/healthz", interval=100, timeout=500, start_timeout=600)
    with pytest.raises(StepFailed) as failure:
        await shop.start(shop.add("backend", run=python(SERVICE, "never-healthy"), health=hasty))
    assert failure.value.detail == "not healthy within 0.6 s: GET /healthz answered 500"


@pytest.mark.parametrize(
    "health",
    [Health(HealthKind.TCP), Health(HealthKind.COMMAND, 'test -n "$PORT" && test "$WHO" = me')],
    ids=["tcp", "command"],
)
async def test_health_is_also_asked_by_connecting_or_by_a_command(shop: World, health: Health) -> None:
    """A command has the environment of the instance."""
    group, _ = await shop.start(shop.add("backend", health=health), env={"WHO": "me"})
    assert (await shop.target.observe("dev")).groups[group].healthy == 1


async def test_a_cancelled_start_can_be_looked_at_repeated_and_retired(shop: World) -> None:
    """Ctrl-C leaves nothing half-known."""
    go = shop.root / "go"
    slow = shop.add("backend", run=f"while [ ! -e {go} ]; do sleep 0.05; done; {python(SERVICE)}")
    start = asyncio.create_task(shop.start(slow))
    await until(lambda: starting(shop))
    start.cancel()
    await asyncio.wait([start])
    seen = (await shop.target.observe("dev")).groups[shop.group()]
    assert [instance.state for instance in seen.instances] == [InstanceState.STARTING]
    go.touch()
    await shop.start(slow)
    assert (await only(shop)).restarts == 0
    pid = (await only(shop)).pid
    await shop.run(Retire(shop.group()))
    assert not alive(pid)


async def test_retiring_waits_for_requests_in_flight(shop: World) -> None:
    """Within the time to drain, nobody's answer is cut off."""
    group, url = await shop.start(shop.add("backend", drain=5000))
    slow = asyncio.create_task(get(url, "/slow"))
    await until(lambda: in_flight(shop))
    await shop.run(Retire(group))
    assert (await slow)[0] == 200


async def in_flight(shop: World) -> bool:
    """The instance has the gateway's request: a connection beyond the health check's short ones."""
    port = int((await only(shop)).address.split(":")[1])
    line = f":{port:04X} 0100007F:"
    return any(line in entry and " 01 " in entry for entry in Path("/proc/net/tcp").read_text().splitlines())


async def test_a_group_that_users_reach_is_not_retired(shop: World) -> None:
    """Directly or over an edge of one that they reach."""
    backend, _ = await shop.start(shop.add("backend"))
    frontend, _ = await shop.start(shop.add("frontend", needs=("backend",)), edges={"backend": backend})
    await shop.enter(frontend)
    for group, by in ((frontend, "the entry of frontend"), (backend, "frontend-r1 (its need backend)")):
        with pytest.raises(StepFailed, match="cannot retire") as failure:
            await shop.run(Retire(group))
        assert by in failure.value.detail


async def test_scaling_down_gives_the_ports_back(shop: World) -> None:
    """The highest numbers go; Start adds again."""
    release = shop.add("backend")
    group, _ = await shop.start(release, replicas=3)
    ports = [int(i.address.split(":")[1]) for i in (await shop.target.observe("dev")).groups[group].instances]
    await shop.run(Scale(group, 1))
    assert [listens(port) for port in ports] == [True, False, False]
    await shop.start(release, replicas=2)
    assert (await shop.target.observe("dev")).groups[group].healthy == 2


async def test_a_fixed_port_has_one_instance(shop: World) -> None:
    """Several replicas are an error with the fix."""
    release = shop.add("backend", port=29_990, health=QUICK)
    with pytest.raises(StepFailed) as failure:
        await shop.start(release, replicas=2)
    assert "replicas: 1" in failure.value.hint
    _, url = await shop.start(release)
    assert (await get(url, "/env"))[1]["PORT"] == "29990"


async def test_a_younger_epoch_ends_what_the_older_one_is_doing(shop: World) -> None:
    """The former executor hears that it lost its right; the new one goes on."""
    never = shop.add("backend", run=python(SERVICE, "never-healthy"))
    old = asyncio.create_task(shop.start(never))
    await until(lambda: starting(shop))
    await shop.run(Retire(shop.group()), epoch=2)
    with pytest.raises(StepFailed, match="cannot change backend"):
        await old
    with pytest.raises(StepFailed, match="cannot change backend"):
        await shop.run(Retire(shop.group()), epoch=1)


async def test_observing_fails_at_once_when_an_instance_restarts(shop: World) -> None:
    """It names the instance and shows what it printed last; nobody waits for the end of the observation."""
    group, _ = await shop.start(shop.add("backend"), replicas=2)
    await shop.enter(group)
    watch = asyncio.create_task(shop.run(Observe((group,), ("backend",), (), 60, 100)))
    with pytest.raises((ValueError, IndexError, ConnectionError, TimeoutError)):
        await get(f"http://{(await only(shop)).address}", "/exit")
    async with asyncio.timeout(10):
        with pytest.raises(StepFailed) as failure:
            await watch
    assert (failure.value.component, failure.value.instance) == ("backend", "backend-r1.0")
    assert failure.value.detail.startswith("exited with 7 after")
    assert failure.value.log[-1] == "asked to exit"


async def test_verify_shows_what_the_command_printed(shop: World) -> None:
    """It runs as the instances do, with TIDEGATE_URL leading to them, and its output says why it failed."""
    check = 'echo "$COLOUR $TIDEGATE_COMPONENT $TIDEGATE_URL"; exit 5'
    release = shop.add("backend", verify=check)
    group, url = await shop.start(release, env={"COLOUR": "blue"})
    with pytest.raises(StepFailed) as failure:
        await shop.run(Verify(group, release.digest))
    assert failure.value.detail == f"`{check}` ended with 5"
    assert list(failure.value.log) == [f"blue backend {url}"]


async def test_a_first_release_has_its_entry_port_before_the_switch(shop: World) -> None:
    """Nobody can take it meanwhile; it is shown as an entry only when it leads somewhere."""
    group, _ = await shop.start(shop.add("backend"))
    assert (await shop.target.observe("dev")).entries == {}
    port = shop.record()["environments"]["dev"]["reserved"]["backend"]
    assert (await get(f"http://127.0.0.1:{port}"))[0] == 503
    assert (await shop.enter(group))["backend"] == f"http://127.0.0.1:{port}"


async def test_a_port_that_somebody_took_fails_the_start_and_nothing_else(shop: World) -> None:
    """The group was never there, and the next attempt chooses other ports."""
    await shop.start(shop.add("frontend"))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        registry = Path(os.environ["TIDEGATE_STATE_DIR"]) / "ports.json"
        content = json.loads(registry.read_text())
        content["projects"][str(shop.root)]["dev/candidate/backend-r1"] = stranger.getsockname()[1]
        registry.write_text(json.dumps(content))
        with pytest.raises(StepFailed, match="cannot start backend"):
            await shop.start(shop.add("backend"))
        assert list((await shop.target.observe("dev")).groups) == [shop.group("frontend")]
        await shop.start(shop.add("backend"))


async def starting(shop: World) -> bool:
    groups = (await shop.target.observe("dev")).groups
    return any(group.instances for group in groups.values())
