"""What the gateway counts and writes down: traces, access logs, answers and errors. With the real Envoy."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import httpx
import pytest

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
