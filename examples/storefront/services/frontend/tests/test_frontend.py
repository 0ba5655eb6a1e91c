"""What the frontend promises to visitors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from frontend import settings
from frontend.app import create
from frontend.backend import Backend

SERVICE = Path(__file__).parent.parent
COMPASS = {"id": "compass", "name": "Compass", "kind": "compass", "price_cents": 4905, "description": "Points north."}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

Answer = Callable[[httpx.Request], httpx.Response]


def listing(*products: dict[str, Any]) -> Answer:
    """A backend that has these products."""
    body = {"products": list(products), "notice": "Only a test."}
    return lambda _: httpx.Response(200, json=body, headers={"x-release": "b7"})


def get(path: str, backend: Answer | httpx.AsyncBaseTransport, **headers: str) -> httpx.Response:
    """One page, with this backend behind it and without a server."""

    async def ask() -> httpx.Response:
        transport = backend if isinstance(backend, httpx.AsyncBaseTransport) else httpx.MockTransport(backend)
        client = Backend("http://backend", transport=transport, patience=0.2)
        app = create(
            backend=client,
            identity=settings.Identity(release="f3", environment="test", instance="1"),
            configured=settings.Settings(banner="Shop <test>", note="A note.", colour="#123456"),
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as visitor:
            answer = await visitor.get(path, headers=headers)
        await client.close()
        return answer

    return asyncio.run(ask())


def test_the_shop_shows_what_the_backend_has() -> None:
    """Name, price and the environment's own words are on the page, and both releases are named."""
    answer = get("/", listing(COMPASS))
    assert answer.status_code == 200
    for text in ("Compass", "€ 49.05", "Only a test.", "A note.", "f3", "b7", 'href="/product/compass"'):
        assert text in answer.text
    assert answer.headers["x-release"] == "f3"
    assert answer.headers["x-backend-release"] == "b7"


def test_nothing_that_is_shown_becomes_markup() -> None:
    """Neither the backend's texts, nor the settings, nor what a visitor searches for."""
    evil = '"><script>alert(1)</script>'
    product = {**COMPASS, "id": "../" + evil, "name": evil, "description": evil, "kind": evil}
    answer = get(str(httpx.URL("/", params={"q": evil})), listing(product))
    assert "<script" not in answer.text
    assert '="">' not in answer.text
    assert answer.text.count("&quot;&gt;&lt;script&gt;") >= 4
    assert "Shop &lt;test&gt;" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_search_words_reach_the_backend_as_they_are() -> None:
    """Signs with a meaning in addresses arrive unharmed, and stay in the search box."""
    asked: list[httpx.Request] = []

    def backend(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return listing()(request)

    answer = get(str(httpx.URL("/", params={"q": "salt & pepper?#"})), backend)
    assert dict(asked[0].url.params) == {"q": "salt & pepper?#"}
    assert 'value="salt &amp; pepper?#"' in answer.text
    assert "Nothing for" in answer.text


def test_a_search_too_long_is_refused_without_asking() -> None:
    """The visitor reads why, and the backend is left alone."""

    def backend(_: httpx.Request) -> httpx.Response:
        raise AssertionError("the backend was asked")

    assert get("/?q=" + "x" * 101, backend).status_code == 400


def test_a_product_has_a_page() -> None:
    """Its id cannot lead the frontend to another address of the backend."""
    asked: list[bytes] = []

    def backend(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"product": COMPASS, "notice": ""})

    assert "Points north." in get("/product/compass", backend).text
    get("/product/..%3Fq=1", backend)
    assert asked == [b"/api/products/compass", b"/api/products/..%3Fq%3D1"]


@pytest.mark.parametrize("path", ["/product/anchor", "/nowhere"])
def test_what_is_not_there_is_a_styled_404(path: str) -> None:
    """An unknown product and an unknown address have a page of the shop's own."""
    answer = get(path, lambda _: httpx.Response(404, json={"error": "no such product"}))
    assert answer.status_code == 404
    assert "Shop &lt;test&gt;" in answer.text


def refuses(request: httpx.Request) -> httpx.Response:
    """Nobody is there."""
    raise httpx.ConnectError("connection refused", request=request)


def breaks_off(request: httpx.Request) -> httpx.Response:
    """Hangs up in the middle."""
    raise httpx.RemoteProtocolError("peer closed connection", request=request)


def times_out(request: httpx.Request) -> httpx.Response:
    """Says nothing for too long."""
    raise httpx.ReadTimeout("read timed out", request=request)


def says(status: int, content: Any) -> Answer:
    """Answers with this, whatever the question."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda _: httpx.Response(status, content=body)


class Dripping(httpx.AsyncBaseTransport):
    """Answers at once, then sends a byte now and then, for ever."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def drops() -> Any:
            while True:
                await asyncio.sleep(0.01)
                yield b" "

        return httpx.Response(200, content=drops())


@pytest.mark.parametrize(
    ("backend", "status"),
    [
        (refuses, 502),
        (breaks_off, 502),
        (says(500, {"error": "broken"}), 502),
        (says(503, b"no healthy upstream"), 502),
        (says(200, b"<html>hello</html>"), 502),
        (says(200, b"\xff\xfe{"), 502),
        (says(200, []), 502),
        (says(200, {"products": "many", "notice": ""}), 502),
        (says(200, {"products": [7], "notice": ""}), 502),
        (says(200, {"products": [{**COMPASS, "price_cents": "free"}], "notice": ""}), 502),
        (says(200, {"products": [{**COMPASS, "price_cents": True}], "notice": ""}), 502),
        (says(200, {"products": []}), 502),
        (says(302, b""), 502),
        (says(404, b""), 502),
        (times_out, 504),
        (says(504, b"upstream request timeout"), 504),
        (Dripping(), 504),
    ],
)
def test_a_bad_backend_is_a_proper_page(backend: Answer, status: int) -> None:
    """Down, slow or talking nonsense: the visitor gets a page of the shop with a way to try again."""
    answer = get("/?q=rope", backend)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["retry-after"] == "5"
    assert "The catalogue" in answer.text
    assert 'href="/?q=rope"' in answer.text
    assert "Traceback" not in answer.text


def test_health_and_version_need_no_backend() -> None:
    """A frontend is not ill because its backend is."""
    assert get("/healthz", refuses).status_code == 200
    assert get("/version", refuses).json() == {"release": "f3", "environment": "test", "instance": "1"}


@pytest.mark.parametrize(("sent", "passed"), [(TRACE, TRACE), ("nonsense", None), ("", None)])
def test_a_trace_goes_on_to_the_backend(sent: str, passed: str | None) -> None:
    """A W3C trace context is handed on as it came; one that is none is not."""
    seen: list[str | None] = []

    def backend(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent"))
        return listing()(request)

    get("/", backend, traceparent=sent)
    assert seen == [passed]


def test_the_style_carries_the_colour_of_the_environment() -> None:
    """The page needs nothing from anywhere else."""
    style = get("/style.css", refuses)
    assert style.headers["content-type"].startswith("text/css")
    assert "#123456" in style.text
    assert "http" not in style.text


def test_each_environment_has_words_and_a_colour_of_its_own() -> None:
    """The settings files of all environments can be read, and no two look the same."""
    found = [
        settings.load({"TIDEGATE_SETTINGS": str(SERVICE / f"settings/{name}.json")}) for name in ("dev", "stage", "prod")
    ]
    assert len({one.banner for one in found}) == 3
    assert len({one.colour for one in found}) == 3


@pytest.mark.parametrize(
    "content", ['{"banner": 7}', '{"colour": "red; } body { display: none"}', '{"baner": "x"}', "[]", "not JSON"]
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, content: str) -> None:
    """The service does not start with them."""
    file = tmp_path / "dev.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"."):
        settings.load({"TIDEGATE_SETTINGS": str(file)})


def test_without_a_backend_address_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts the service alone reads which variable to set."""
    monkeypatch.delenv("BACKEND_URL", raising=False)
    with pytest.raises(RuntimeError, match="BACKEND_URL"):
        create()


def test_started_alone_it_says_that_it_is_no_release() -> None:
    """Without Tidegate there is no release, no environment and no instance to name."""
    assert settings.identity({}) == settings.Identity(release="unreleased", environment="none", instance="alone")
    given = {"TIDEGATE_RELEASE": "r1", "TIDEGATE_ENVIRONMENT": "dev", "TIDEGATE_INSTANCE": "2"}
    assert settings.identity(given) == settings.Identity(release="r1", environment="dev", instance="2")
