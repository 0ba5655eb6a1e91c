"""An executor that vanishes is noticed by the agent, which starts the recovery: once, and only then."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.local.worlds import World, alive, until
from tidegate.drivers.local.attending import Execution
from tidegate.drivers.local.client import AgentClient
from tidegate.drivers.local.folders import Folders, runtime_folder
from tidegate.drivers.local.target import LocalTarget
from tidegate.model.step import Prepare
from tidegate.ports.target import Attends

pytestmark = [pytest.mark.anyio]

EXECUTOR = """
import asyncio, pathlib, sys
from tidegate.drivers.local.target import LocalTarget

class Nothing:
    release = blob = None

async def execute():
    root, sign, recovery = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    command = ["/bin/sh", "-c", recovery]
    target = LocalTarget(root, root / ".tidegate", Nothing, Nothing, Nothing, recovery=lambda _: command)
    async with target.attending("dev"):
        sign.touch()
        await asyncio.Event().wait()

asyncio.run(execute())
"""


class Scene:
    """A project whose agent runs, with a file that recoveries write into."""

    def __init__(self, shop: World) -> None:
        self.shop = shop
        self.note = shop.root / "recovered"
        self.executors: list[subprocess.Popen[bytes]] = []

    def noting(self, word: str) -> str:
        return f"echo {word} >> {self.note}"

    def noted(self) -> list[str]:
        return self.note.read_text().split() if self.note.exists() else []

    def target(self, recovery: str) -> LocalTarget:
        shop = self.shop
        command = ["/bin/sh", "-c", recovery]
        return LocalTarget(shop.root, shop.state, shop, shop, shop.secrets, recovery=lambda _: command)

    async def prepare(self) -> None:
        """A step that starts the agent if it does not run."""
        await self.shop.run(Prepare("backend", self.shop.add("backend").digest))

    async def executor(self, recovery: str) -> subprocess.Popen[bytes]:
        """A process that is in the middle of changing the environment."""
        sign = self.shop.root / f"sign-{len(self.executors)}"
        command = [sys.executable, "-c", EXECUTOR, str(self.shop.root), str(sign), recovery]
        process = await asyncio.to_thread(subprocess.Popen, command)
        self.executors.append(process)
        await until(sign.exists)
        return process

    async def kill(self, recovery: str) -> None:
        """An executor is ended in the middle."""
        process = await self.executor(recovery)
        process.kill()
        process.wait()


@asynccontextmanager
async def set_up(shop: World) -> AsyncIterator[Scene]:
    scene = Scene(shop)
    await scene.prepare()
    try:
        yield scene
    finally:
        for process in scene.executors:
            process.kill()
            process.wait()


async def test_an_executor_that_is_killed_is_recovered_once(shop: World) -> None:
    """Detached, in surroundings in which the same agent is found; what it prints is kept."""
    async with set_up(shop) as scene:
        await scene.kill(f"echo found $TIDEGATE_RUNTIME_DIR; cut -d' ' -f6 /proc/self/stat; {scene.noting('one')}")
        await until(lambda: scene.noted() == ["one"])
        log = shop.state / "logs" / "dev" / "recover.log"
        words = log.read_text().split()
        assert words[:2] == ["found", os.environ["TIDEGATE_RUNTIME_DIR"]]
        assert int(words[2]) not in {os.getsid(0), os.getsid(shop.agent()["pid"])}
        await scene.kill(scene.noting("two"))
        await until(lambda: scene.noted() == ["one", "two"])


async def test_who_leaves_is_not_recovered_whatever_happened(shop: World) -> None:
    """It ended well, it failed, it was cancelled, or the agent was told to leave while it went on."""
    async with set_up(shop) as scene:
        target = scene.target(scene.noting("wrong"))
        assert isinstance(target, Attends)
        async with target.attending("dev"):
            pass
        with pytest.raises(ValueError, match="it failed"):
            async with target.attending("dev"):
                raise ValueError("it failed")
        forever = asyncio.create_task(attend_forever(target))
        await asyncio.sleep(0)
        forever.cancel()
        await asyncio.wait([forever])
        agent = shop.agent()["pid"]
        async with target.attending("dev"):
            await AgentClient(folders(shop)).call("POST", "/leave")
            await until(lambda: not alive(agent))
        await scene.prepare()
        await scene.kill(scene.noting("right"))
        await until(scene.noted)
        assert scene.noted() == ["right"]


async def attend_forever(target: LocalTarget) -> None:
    async with target.attending("dev"):
        await asyncio.Event().wait()


def folders(shop: World) -> Folders:
    return Folders(shop.root, shop.state, runtime_folder(shop.root))


async def test_a_recovery_that_vanishes_itself_is_started_three_times(shop: World) -> None:
    """Then a person has to look; the next executor that vanishes is another matter."""
    async with set_up(shop) as scene:
        await scene.kill(f"{scene.noting('vain')}; kill -9 $$")
        await until(lambda: len(scene.noted()) == 3)
        await scene.kill(scene.noting("next"))
        await until(lambda: scene.noted() == ["vain", "vain", "vain", "next"])


async def test_there_are_never_two_recoveries_of_an_environment(shop: World) -> None:
    """Two executors vanish: the second is recovered after the first."""
    async with set_up(shop) as scene:
        go = shop.root / "go"
        slow = f"{scene.noting('begun')}; until test -e {go}; do sleep 0.05; done; {scene.noting('ended')}"
        executors = [await scene.executor(slow) for _ in range(2)]
        executors[0].kill()
        await until(lambda: scene.noted() == ["begun"])
        executors[1].kill()
        executors[1].wait()
        await scene.shop.target.observe("dev")
        go.touch()
        await until(lambda: scene.noted() == ["begun", "ended"] * 2)


async def test_an_executor_is_known_to_the_next_agent_too(shop: World) -> None:
    """The step that needs it starts it; being attended alone does not."""
    async with set_up(shop) as scene:
        said = {"environment": "dev", "recovery": ["/bin/sh", "-c", scene.noting("one")], "pid": 0}
        execution = Execution(AgentClient(folders(shop)), said)
        holding = asyncio.create_task(execution.hold())
        await asyncio.wait_for(execution.held.wait(), 10)
        shop.kill_agent()
        await until(lambda: not execution.held.is_set())
        await scene.prepare()
        await asyncio.wait_for(execution.held.wait(), 10)
        holding.cancel()
        await until(lambda: scene.noted() == ["one"])


async def test_an_environment_is_changed_also_when_nobody_can_watch(shop: World) -> None:
    """No agent can be started here: what is done inside is done, and says itself what is wrong."""
    (shop.state / "agent").mkdir(parents=True)
    state = shop.state / "agent" / "state.json"
    state.write_text("{")
    done = []
    async with Scene(shop).target("true").attending("dev"):
        done.append("one")
    async with shop.target.attending("dev"):
        done.append("two")
    assert done == ["one", "two"]
    state.unlink()
