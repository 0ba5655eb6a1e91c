"""What instances are sent, and what callers get. With the real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.gateway.worlds import Request, entry, eventually, free_port, instance, upstream
from tidegate.drivers.local.gateway import Gateway, Table, Traffic

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=10)


async def test_nobody_can_pretend_to_come_through_another_address(gateway: Gateway) -> None:
    """The header that chooses the route is the gateway's own: what a client sends in it changes nothing and arrives
    nowhere; nor does what would make the gateway repeat or cut a request."""
    async with instance("public") as public, instance("secret") as secret, _client() as client:
        open_group, closed_group = upstream("a", 1, public.port), upstream("b", 1, secret.port)
        ports = free_port(), free_port()
        await gateway.apply(
            Table((open_group, closed_group), (entry("a", ports[0], open_group), entry("b", ports[1], closed_group)))
        )
        answer = await client.get(
            f"http://127.0.0.1:{ports[0]}/",
            headers=[
                ("x-tidegate-listener", "dev/entry/b"),
                ("X-Tidegate-Listener", "dev/entry/b"),
                ("x-envoy-retry-on", "5xx"),
                ("x-envoy-upstream-rq-timeout-ms", "1"),
            ],
        )
        assert answer.text == "public"
        assert secret.requests == []
        (request,) = public.requests
        assert [name for name in request.headers if "tidegate" in name or "envoy" in name] == []


async def test_applications_see_what_the_client_sent(gateway: Gateway) -> None:
    """Host, path, query and the scheme a proxy in front announced are unchanged, the caller's address is appended;
    the client sees the application's own Server header."""
    async with instance("here") as one, _client() as client:
        group, port = upstream("a", 1, one.port), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        answer = await client.get(
            f"http://127.0.0.1:{port}/a//b/../%2Fc?d=%20e",
            headers={"Host": "shop.dev.localhost", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
        )
        assert answer.headers["server"] == "instance"
        (request,) = one.requests
        assert request.path.endswith("%2Fc?d=%20e")
        assert request.headers["host"] == "shop.dev.localhost"
        assert request.headers["x-forwarded-for"].replace(" ", "") == "192.0.2.7,127.0.0.1"
        assert request.headers["x-forwarded-proto"] == "https"


async def test_an_instance_that_refuses_connections_costs_nobody_anything(gateway: Gateway) -> None:
    """Its requests were never sent, so another instance answers them; bodies too."""
    async with instance("alive") as one, _client() as client:
        group, port = upstream("a", 1, free_port(), one.port, free_port()), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        answers = [await client.post(f"http://127.0.0.1:{port}/", content=b"x" * 20_000) for _ in range(30)]
    assert {answer.text for answer in answers} == {"alive"}
    assert len(one.requests) == 30
    assert {len(request.body) for request in one.requests} == {20_000}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_was_sent_is_never_sent_again(gateway: Gateway, method: str) -> None:
    """An instance that reads a request and closes may have done it: the caller gets 5xx, nobody sees it twice."""

    async def closes(_: Request) -> None:
        return None

    async with instance(closes) as one, instance(closes) as two, _client() as client:
        group, port = upstream("a", 1, one.port, two.port), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        answer = await client.request(method, f"http://127.0.0.1:{port}/order")
        assert answer.status_code in {502, 503}
        assert len(one.requests) + len(two.requests) == 1
        assert (await gateway.traffic(["dev/entry/a"]))["dev/entry/a"] == Traffic(answers=1, errors=1)


async def test_an_instance_that_leaves_takes_no_request_with_it(gateway: Gateway) -> None:
    """Requests in flight, to it and to those that stay, are answered; new ones go to those that stay, at once."""
    release = asyncio.Event()

    async def slow(_: Request) -> tuple[int, bytes]:
        await release.wait()
        return 200, b"done"

    async with instance(slow) as stays, instance(slow) as leaves, _client() as client:
        both, one, port = upstream("a", 1, stays.port, leaves.port), upstream("a", 1, stays.port), free_port()
        await gateway.apply(Table((both,), (entry("a", port, both),)))
        async with asyncio.TaskGroup() as tasks:
            flying = [tasks.create_task(client.get(f"http://127.0.0.1:{port}/")) for _ in range(12)]

            async def all_sent() -> bool:
                return len(stays.requests) + len(leaves.requests) == 12

            await eventually(all_sent, "12 requests in flight")
            assert await gateway.active(both.name) == 12
            assert leaves.requests
            before = len(leaves.requests)
            await gateway.apply(Table((one,), (entry("a", port, one),)))
            assert await gateway.active(both.name) == 12
            late = [tasks.create_task(client.get(f"http://127.0.0.1:{port}/")) for _ in range(6)]

            async def late_sent() -> bool:
                return len(stays.requests) + len(leaves.requests) == 18

            await eventually(late_sent, "18 requests in flight")
            release.set()
        assert len(leaves.requests) == before
        assert {task.result().text for task in (*flying, *late)} == {"done"}
        assert await gateway.active(both.name) == 0


async def test_a_kept_alive_connection_survives_the_switch(gateway: Gateway) -> None:
    """The next request on it is answered by the new group; nobody is cut off."""
    async with instance("one") as one, instance("two") as two:
        first, second, port = upstream("a", 1, one.port), upstream("a", 2, two.port), free_port()
        await gateway.apply(Table((first, second), (entry("a", port, first),)))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):

            def get() -> tuple[bytes, socket.socket]:
                connection.request("GET", "/")
                return connection.getresponse().read(), connection.sock

            before, line = await anyio.to_thread.run_sync(get)
            await gateway.apply(Table((first, second), (entry("a", port, second),)))
            after, same = await anyio.to_thread.run_sync(get)
        assert (before, after) == (b"one", b"two")
        assert same is line


async def test_a_websocket_lives_on_after_the_switch_and_counts_as_active(gateway: Gateway) -> None:
    """It stays with the group that it was opened to, until one of them closes it."""

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0) as server, instance("new") as new, _client() as client:
        port = free_port()
        old_group = upstream("a", 1, next(iter(server.sockets)).getsockname()[1])
        new_group = upstream("a", 2, new.port)
        await gateway.apply(Table((old_group, new_group), (entry("a", port, old_group),)))
        async with connect(f"ws://127.0.0.1:{port}/live", proxy=None) as visitor:
            await visitor.send("before")
            assert await visitor.recv() == "before"
            await gateway.apply(Table((old_group, new_group), (entry("a", port, new_group),)))
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "new"
            await visitor.send("after")
            assert await visitor.recv() == "after"
            assert await gateway.active(old_group.name) == 1

        async def drained() -> bool:
            return await gateway.active(old_group.name) == 0

        await eventually(drained, "the old group has no WebSocket left")


async def test_large_bodies_pass_both_ways(gateway: Gateway) -> None:
    """20 MB there and back: the gateway has no limit of its own."""
    body = bytes(range(256)) * 80_000

    async def mirror(request: Request) -> tuple[int, bytes]:
        return 200, request.body

    async with instance(mirror) as one, _client() as client:
        group, port = upstream("a", 1, one.port), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        answer = await client.post(f"http://127.0.0.1:{port}/", content=body)
    assert answer.content == body


async def test_old_clients_are_served(gateway: Gateway) -> None:
    """HTTP/1.0 without a Host header, as some load generators and health checks speak it."""
    async with instance("here") as one:
        group, port = upstream("a", 1, one.port), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    assert answer.endswith(b"here")


async def test_a_request_in_flight_outlives_its_address(gateway: Gateway) -> None:
    """It is answered after the address was removed; new ones find nobody."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> tuple[int, bytes]:
        arrived.set()
        await release.wait()
        return 200, b"done"

    async with instance(slow) as one, _client() as client:
        group, port = upstream("a", 1, one.port), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        flying = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
        await arrived.wait()
        await gateway.apply(Table())

        async def refused() -> bool:
            async with _client() as stranger:
                with contextlib.suppress(httpx.ConnectError):
                    await stranger.get(f"http://127.0.0.1:{port}/")
                    return False
                return True

        await eventually(refused, "the address is closed")
        release.set()
        assert (await flying).text == "done"
