"""What instances are sent, what callers get, what is counted and what is written down. With the real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import socket
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.gateway.conftest import Place
from tests.gateway.worlds import Request, edge, entry, eventually, free_port, instance, upstream
from tidegate.drivers.local.gateway import Gateway, Table, Traffic

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=10)


async def _log(place: Place, lines: int) -> list[dict[str, Any]]:
    """The access log of dev once it has this many lines."""
    file = place.access_log("dev")

    async def written() -> bool:
        return file.exists() and len(file.read_text().splitlines()) >= lines

    await eventually(written, f"{lines} lines in the access log")
    return [json.loads(line) for line in file.read_text().splitlines()]


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


async def test_a_visit_is_written_down_with_caller_callee_and_one_trace(gateway: Gateway, place: Place) -> None:
    """A request without a trace gets one; the program passes it on, and both lines of the log carry it, each with
    component, group and release of both sides."""
    edge_port, entry_port = free_port(), free_port()
    async with instance("goods") as backend, _client() as inner:

        async def page(request: Request) -> tuple[int, bytes]:
            headers = {"traceparent": request.headers["traceparent"]}
            return 200, (await inner.get(f"http://127.0.0.1:{edge_port}/goods", headers=headers)).content

        async with instance(page) as frontend, _client() as client:
            shop, goods = upstream("frontend", 4, frontend.port), upstream("backend", 3, backend.port)
            await gateway.apply(
                Table((shop, goods), (entry("frontend", entry_port, shop), edge(shop, "backend", edge_port, goods)))
            )
            answer = await client.get(f"http://127.0.0.1:{entry_port}/page?token=hidden")
            assert answer.text == "goods"
        inside, outside = await _log(place, 2)

    begun = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-01", backend.requests[0].headers["traceparent"])
    assert begun is not None
    assert inside["trace"] == outside["trace"] == begun[1]
    assert outside["role"] == "entry"
    assert outside["caller"] == {"component": "", "group": "", "release": ""}
    assert outside["callee"] == {"component": "frontend", "group": "frontend-r4", "release": "sha256:frontend4"}
    assert inside["role"] == "edge"
    assert inside["address"] == "dev/edge/frontend-r4/backend"
    assert inside["caller"] == outside["callee"]
    assert inside["callee"] == {"component": "backend", "group": "backend-r3", "release": "sha256:backend3"}
    assert (outside["method"], outside["path"], outside["status"], outside["flags"]) == ("GET", "/page", 200, "-")
    assert outside["instance"] == f"127.0.0.1:{frontend.port}"
    assert outside["bytes_sent"] == 5
    assert outside["duration_ms"] >= inside["duration_ms"] >= 0


async def test_a_trace_is_passed_on_as_it_came_and_begun_only_where_there_is_none(
    gateway: Gateway, place: Place
) -> None:
    """A valid `traceparent` arrives unchanged; one that is none is replaced; no two requests begin the same one."""
    async with instance("ok") as one, _client() as client:
        group, port, nowhere = upstream("a", 1, one.port), free_port(), free_port()
        await gateway.apply(Table((group,), (entry("a", port, group), entry("b", nowhere, None))))
        url = f"http://127.0.0.1:{port}/"
        for parent in (PARENT, "00-nonsense", None, None):
            await client.get(url, headers={"traceparent": parent} if parent else {})
        await client.get(f"http://127.0.0.1:{nowhere}/", headers={"traceparent": PARENT})
        sent = [request.headers["traceparent"] for request in one.requests]
        logged = [line["trace"] for line in await _log(place, 5)]
    assert sent[0] == PARENT
    assert [parent.split("-")[1] for parent in sent] == logged[:4]
    assert logged[4] == TRACE
    assert len(set(logged[:4])) == 4
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) for parent in sent)


async def test_answers_and_errors_are_counted_for_each_address(gateway: Gateway) -> None:
    """Errors are all answers 5xx: an application's, and those that the gateway had to make itself."""

    async def moody(request: Request) -> tuple[int, bytes]:
        return int(request.path[1:]), b""

    async with instance(moody) as one, _client() as client:
        group, dead = upstream("a", 1, one.port), upstream("b", 1, free_port())
        ports = {name: free_port() for name in ("a", "b", "c")}
        await gateway.apply(
            Table(
                (group, dead),
                (entry("a", ports["a"], group), entry("b", ports["b"], dead), entry("c", ports["c"], None)),
            )
        )
        for status in (200, 301, 404, 500, 503, 200):
            assert (await client.get(f"http://127.0.0.1:{ports['a']}/{status}")).status_code == status
        assert (await client.get(f"http://127.0.0.1:{ports['b']}/")).status_code == 503
        assert (await client.get(f"http://127.0.0.1:{ports['c']}/")).status_code == 503
    assert await gateway.traffic([f"dev/entry/{name}" for name in "abcd"]) == {
        "dev/entry/a": Traffic(answers=6, errors=2),
        "dev/entry/b": Traffic(answers=1, errors=1),
        "dev/entry/c": Traffic(answers=1, errors=1),
        "dev/entry/d": Traffic(),
    }


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


async def test_access_logs_can_be_rotated(gateway: Gateway, place: Place) -> None:
    """After the file was renamed and the gateway told, new lines go to a new one and none is lost."""
    port = free_port()
    await gateway.apply(Table((), (entry("a", port, None),)))
    async with _client() as client:
        await client.get(f"http://127.0.0.1:{port}/first")
        await _log(place, 1)
        rotated = place.access_log("dev").with_suffix(".1")
        place.access_log("dev").rename(rotated)
        await gateway.reopen_logs()
        await client.get(f"http://127.0.0.1:{port}/second")
        (line,) = await _log(place, 1)
    assert line["path"] == "/second"
    assert "/first" in rotated.read_text()


async def test_an_environment_that_comes_back_is_logged_again(gateway: Gateway, place: Place) -> None:
    """Also when its folder was deleted meanwhile."""
    port = free_port()
    table = Table((), (entry("a", port, None),))
    async with _client() as client:
        for path in ("/first", "/second"):
            await gateway.apply(table)
            await client.get(f"http://127.0.0.1:{port}{path}")
            assert (await _log(place, 1))[-1]["path"] == path
            await gateway.apply(Table())
            shutil.rmtree(place.access_log("dev").parent)


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
