"""Whatever dies or is stopped, and whenever: the environment rests on the new revision or on the one before, nothing is
left over, and the next command works."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time

import pytest

from tests.e2e.checkout import Checkout, Ran, until
from tests.e2e.visitors import visitors
from tests.gateway.worlds import report

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

AGENT = "tidegate.drivers.local.agent"


async def settled(checkout: Checkout, revision: str, labels: tuple[str, str], environment: str = "dev") -> None:
    """Exactly this revision runs and answers; nobody holds a claim; no process and no port is left over."""
    status = await checkout.status(environment)
    assert status["revision"] == revision
    assert status["claims"] == []
    assert [each["state"] for each in status["components"]] == ["running"] * len(status["components"])
    known = {each["name"] for component in status["components"] for each in component["instances"]}
    running = list(checkout.instances().values())
    assert sorted(running) == sorted(known)
    groups = {name.rpartition(".")[0] for name in known}
    for name in checkout.ports():
        if (group := re.search(r"[a-z]+-r\d+", name)) and name.startswith(f"{environment}/"):
            assert group[0] in groups, f"{name} is a lost port"
    url = next(each["url"] for each in status["components"] if each["component"] == "frontend")
    async with visitors(int(url.rpartition(":")[2]), "kept alive") as crowd:
        await crowd.come(more=3)
    assert crowd.labels() == {labels}
    assert crowd.failed == []


async def test_ctrl_c_while_preparing_puts_everything_back(checkout: Checkout) -> None:
    """Visitors notice nothing; exit status 1."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.relabel(2, healthy_when="/nowhere")
    async with visitors(checkout.port(), "kept alive") as crowd:
        up = await checkout.start("up", "dev")
        await up.says("starting backend-r2")
        up.kill(signal.SIGINT)
        ran = await up.ended()
    assert ran.status == 1, str(ran)
    assert "put back" in ran.out + ran.err
    assert crowd.failed == []
    await settled(checkout, "dev@1", ("1", "1"))


async def test_ctrl_c_while_observing_puts_everything_back(checkout: Checkout) -> None:
    """Users met the new releases already; they get the old ones again, and no request fails on the way."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.environments(dev="observe: 60s")
    checkout.relabel(2)
    async with visitors(checkout.port(), "kept alive") as crowd:
        up = await checkout.start("up", "dev")
        await until(lambda: ("2", "2") in crowd.labels(), "visitors meet the new releases")
        up.kill(signal.SIGINT)
        ran = await up.ended()
    assert ran.status == 1, str(ran)
    assert crowd.failed == []
    await settled(checkout, "dev@1", ("1", "1"))


async def test_a_command_killed_while_building_leaves_no_half_release(checkout: Checkout) -> None:
    """Nothing was changed; the next `up` ends what is left of that build, builds again, and releases."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    go = checkout.root / "go"
    checkout.service("backend", f"build: touch half; test -e {go} || sleep 600; touch whole", label=2)
    checkout.behave("frontend", label=2)
    up = await checkout.start("up", "dev")
    await until(lambda: any("sleep 600" in command for command in checkout.others().values()), "it is being built")
    up.kill()
    await up.ended()
    await settled(checkout, "dev@1", ("1", "1"))
    go.touch()
    await checkout.succeed("up", "dev")
    assert not [command for command in checkout.others().values() if "sleep 600" in command]
    await settled(checkout, "dev@2", ("2", "2"))


async def test_ctrl_c_while_building_ends_the_build(checkout: Checkout) -> None:
    """Nothing was changed, and no process of the build is left; exit status 1."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.service("backend", "build: sleep 600", label=2)
    up = await checkout.start("up", "dev")
    await until(lambda: any("sleep 600" in command for command in checkout.others().values()), "it is being built")
    up.kill(signal.SIGINT)
    ran = await up.ended()
    assert ran.status == 1, str(ran)
    assert not [command for command in checkout.others().values() if "sleep 600" in command]
    await settled(checkout, "dev@1", ("1", "1"))


async def test_after_a_command_killed_while_preparing_the_next_goes_on(checkout: Checkout) -> None:
    """What the dead one had begun is removed, by whoever comes first: the agent or the next `up`."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.relabel(2, healthy_when="/nowhere")
    up = await checkout.start("up", "dev")
    await up.says("starting backend-r2")
    await until(lambda: any("backend-r2" in name for name in checkout.instances().values()), "the new backend runs")
    up.kill()
    await up.ended()
    checkout.relabel(3)
    await checkout.succeed("up", "dev")
    await settled(checkout, "dev@3", ("3", "3"))


async def test_a_command_killed_after_the_switch_is_put_back_by_recover(checkout: Checkout) -> None:
    """Not committed means not released: `recover` leads the traffic back, and no request fails."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.environments(dev="observe: 60s")
    checkout.relabel(2)
    async with visitors(checkout.port(), "kept alive") as crowd:
        up = await checkout.start("up", "dev")
        await until(lambda: ("2", "2") in crowd.labels(), "visitors meet the new releases")
        up.kill()
        await up.ended()
        await checkout.succeed("recover", "dev")
    assert crowd.failed == []
    await settled(checkout, "dev@1", ("1", "1"))


async def test_a_command_killed_in_the_moment_of_the_switch_is_put_back_by_recover(checkout: Checkout) -> None:
    """Whether the traffic had moved or not: one release answers before and after, never a mix."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.environments(dev="observe: 60s")
    checkout.relabel(2)
    async with visitors(checkout.port(), "kept alive") as crowd:
        up = await checkout.start("up", "dev")
        await up.says("switching …")
        up.kill()
        await up.ended()
        await checkout.succeed("recover", "dev")
    assert crowd.failed == []
    assert crowd.mixed == []
    await settled(checkout, "dev@1", ("1", "1"))


async def test_a_command_killed_while_finishing_stays_released(checkout: Checkout) -> None:
    """What was committed stays; `recover` removes the old, and an `up` after that has nothing to do."""
    checkout.pair("drain: 60s")
    await checkout.succeed("up", "dev")
    checkout.relabel(2)
    async with visitors(checkout.port(), "kept alive") as crowd:
        await crowd.come(more=1)
        talk = asyncio.create_task(crowd.talk())  # keeps the old frontend from ending
        await crowd.come(more=5)
        up = await checkout.start("up", "dev")
        await up.says("retiring frontend-r1")
        up.kill()
        await up.ended()
        talk.cancel()
        await asyncio.wait([talk])
        await checkout.succeed("recover", "dev")
    assert crowd.failed == []
    await settled(checkout, "dev@2", ("2", "2"))
    again = (await checkout.succeed("up", "dev", "--json")).json
    assert again["applied"] is False


async def test_the_agent_killed_in_the_middle_of_a_change_leaves_a_settled_environment(checkout: Checkout) -> None:
    """The command goes on with a new agent, or says that it could not and puts things back; visitors notice nothing."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    go = checkout.root / "go"
    checkout.relabel(2, healthy_when=str(go))
    async with visitors(checkout.port(), "kept alive") as crowd:
        up = await checkout.start("up", "dev")
        await until(lambda: any("backend-r2" in name for name in checkout.instances().values()), "the new backend runs")
        os.kill(checkout.pid_of(AGENT), signal.SIGKILL)
        go.touch()
        ran = await up.ended()
        report(f"agent killed: {'the command went on' if ran.status == 0 else ran}")
        if ran.status:
            assert ran.status == 1
            await checkout.succeed("up", "dev")
    assert crowd.failed == []
    assert crowd.mixed == []
    status = await checkout.status()
    await settled(checkout, status["revision"], ("2", "2"))


async def test_the_gateway_killed_under_load_is_back_by_itself(checkout: Checkout) -> None:
    """Within seconds, at the same addresses and with the same table, while no command runs."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    port = checkout.port()
    before = checkout.ports()
    async with visitors(port, "kept alive", "one connection each") as crowd:
        await crowd.come(more=10)
        os.kill(checkout.pid_of("envoy"), signal.SIGKILL)
        killed = time.monotonic()
        await until(lambda: crowd.failed, "somebody notices")
        await until(lambda: crowd.answers[-1].status == 200, "the gateway is back", within=10)
        report(f"gateway back after {time.monotonic() - killed:.2f} s")
        back = len(crowd.answers)
        await crowd.come(more=50)
        assert [answer for answer in crowd.answers[back:] if answer.status != 200] == []
    assert checkout.ports() == before
    await settled(checkout, "dev@1", ("1", "1"))


async def test_the_gateway_killed_in_the_middle_of_a_change_does_not_end_the_change(checkout: Checkout) -> None:
    """Whoever finds it dead starts it again: new groups get healthy, traffic moves, and the command succeeds."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    go = checkout.root / "go"
    checkout.relabel(2, healthy_when=str(go))
    up = await checkout.start("up", "dev")
    await until(lambda: any("backend-r2" in name for name in checkout.instances().values()), "the new backend runs")
    os.kill(checkout.pid_of("envoy"), signal.SIGKILL)
    go.touch()
    ran = await up.ended()
    assert ran.status == 0, str(ran)
    await settled(checkout, "dev@2", ("2", "2"))


async def test_of_two_commands_on_one_environment_one_wins_and_the_other_is_told(checkout: Checkout) -> None:
    """The one that came second changes nothing and says who holds the environment."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    go = checkout.root / "go"
    checkout.relabel(2, healthy_when=str(go))
    first = await checkout.start("up", "dev")
    await first.says("starting backend-r2")
    second: Ran = await checkout.run("up", "dev")
    assert second.status == 1, str(second)
    assert str(first.process.pid) in second.out + second.err
    go.touch()
    won = await first.ended()
    assert won.status == 0, str(won)
    await settled(checkout, "dev@2", ("2", "2"))


async def test_two_commands_begun_at_the_same_moment_lose_no_revision(checkout: Checkout) -> None:
    """Whoever comes first wins; the other is refused or finds nothing left to do."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.relabel(2)
    both = await asyncio.gather(checkout.run("up", "dev"), checkout.run("up", "dev"))
    assert 0 in {ran.status for ran in both}, [str(ran) for ran in both]
    assert {ran.status for ran in both} <= {0, 1}
    await settled(checkout, "dev@2", ("2", "2"))
    history = (await checkout.succeed("history", "dev", "--json")).json
    assert [line["revision"] for line in history["revisions"]] == ["dev@2", "dev@1"]


async def test_two_commands_on_two_environments_both_win(checkout: Checkout) -> None:
    """Also when they are the first ever, and both have to build and to start the agent."""
    checkout.pair(dev="observe: 0s", test="observe: 0s")
    both = await asyncio.gather(checkout.run("up", "dev"), checkout.run("up", "test"))
    assert [ran.status for ran in both] == [0, 0], [str(ran) for ran in both]
    assert len([pid for pid, command in checkout.others().items() if AGENT in command]) == 1
    assert len(checkout.instances()) == 4
    assert (await checkout.status("dev"))["revision"] == "dev@1"
    assert (await checkout.status("test"))["revision"] == "test@1"
    await checkout.succeed("down", "--all", "--yes")
    assert checkout.instances() == {}
    assert checkout.others() == {}
    assert checkout.ports() == {}
