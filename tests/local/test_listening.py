"""An answer counts when it is the instance's own; a service that listens elsewhere is told where."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.worlds import QUICK, SERVICE, World, get, python, until
from tidegate.errors import StepFailed
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.gateway,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens"),
]
SLOW = """
import os, socket, sys, time
debugger = socket.create_server(("127.0.0.1", 0))
time.sleep(7)
os.execv(sys.executable, [sys.executable, "-I", "-S", sys.argv[1]])
"""

ALONE = """
import asyncio, fcntl, pathlib, socket, struct
from tidegate.drivers.local.agent.health import probe
from tidegate.model.component import Health

UP = struct.pack("16sh", b"lo", 1)
fcntl.ioctl(socket.socket(), 0x8914, UP)
pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")

async def ask():
    for port in (40000, 40001) * 10:
        print(await probe(Health(), port, folder="/", env={}) or "healthy")

asyncio.run(ask())
"""


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_a_network_of_its_own(*command: str) -> list[str]:
    """The lines that it prints, or "" alone; nothing where that is not allowed."""
    if shutil.which("unshare") is None:
        return []
    done = subprocess.run(["unshare", "-rn", *command], capture_output=True, text=True, check=False)
    return [] if done.returncode else done.stdout.splitlines() or [""]


def port_of(shop: World) -> int:
    """The port of the only instance, as soon as it has one; 0 before."""
    try:
        instances = shop.record()["environments"][shop.environment]["groups"][0]["instances"]
    except (OSError, LookupError):
        return 0
    return int(instances[0]["port"]) if instances else 0


async def says_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("kind", [HealthKind.TCP, HealthKind.HTTP])
async def test_an_answer_of_another_program_is_no_health(shop: World, kind: HealthKind) -> None:
    """Whoever took the port meanwhile is named; no traffic is sent there."""
    health = Health(kind, "/" if kind is HealthKind.HTTP else "", interval=100, timeout=500, start_timeout=4000)
    async with asyncio.TaskGroup() as group:
        start = group.create_task(fails(shop, health))
        await until(lambda: port_of(shop))
        port = port_of(shop)
        async with await asyncio.start_server(says_yes, "127.0.0.1", port):
            failure = await start
    assert failure.detail == f"not healthy within 4 s: port {port} is held by another program (pid {os.getpid()})"


async def fails(shop: World, health: Health) -> StepFailed:
    with pytest.raises(StepFailed) as failure:
        await shop.start(shop.add("backend", run="sleep 600", health=health))
    return failure.value


@pytest.mark.skipif(not in_a_network_of_its_own("true"), reason="needs unshare")
async def test_a_connection_to_itself_is_no_health() -> None:
    """The kernel may give the asked port to the asking end, where ports are in the range of outgoing connections."""
    assert set(in_a_network_of_its_own(sys.executable, "-c", ALONE)) == {"connecting to $PORT: connection refused"}


@pytest.mark.parametrize("run", [f"setsid {python(SERVICE)} & wait", f"({python(SERVICE)})"], ids=["session", "shell"])
async def test_what_an_instance_started_answers_for_it(shop: World, run: str) -> None:
    """Though it is another process, and has left the session."""
    group, url = await shop.start(shop.add("backend", run=run))
    assert (await shop.target.observe(shop.environment)).groups[group].instances[0].state is InstanceState.HEALTHY
    server = (await get(url, "/pid"))[1]["pid"]
    os.kill(server, 15)


async def test_a_service_that_ignores_port_is_told_so_at_once(shop: World) -> None:
    """Nobody waits a minute for a port that it does not know."""
    port = a_free_port()
    async with asyncio.timeout(20):
        with pytest.raises(StepFailed) as failure:
            await shop.start(shop.add("backend", run=f"PORT={port} {python(SERVICE)}", health=Health()))
    wanted = f"it listens on {port} instead of {port_of(shop)}: let it read $PORT, or write `port: {port}`"
    assert failure.value.detail == wanted
    assert "start_timeout" in failure.value.hint


async def test_a_given_time_to_start_is_waited_for(shop: World) -> None:
    """What it listens on is told at its end."""
    port = a_free_port()
    hasty = Health(HealthKind.TCP, interval=100, timeout=500, start_timeout=2000)
    with pytest.raises(StepFailed) as failure:
        await shop.start(shop.add("backend", run=f"PORT={port} {python(SERVICE)}", health=hasty))
    first, second = failure.value.detail.splitlines()
    assert first == "not healthy within 2 s: connecting to $PORT: connection refused"
    assert second.startswith(f"it listens on {port} instead of ")


async def test_a_port_that_serves_no_requests_ends_no_start(shop: World) -> None:
    """A debugger or a management port is there long before the service."""
    script = shop.root / "slow.py"
    script.write_text(SLOW)
    health = Health(QUICK.kind, QUICK.check, interval=100)
    await shop.start(shop.add("backend", run=python(script, str(Path(SERVICE))), health=health))
