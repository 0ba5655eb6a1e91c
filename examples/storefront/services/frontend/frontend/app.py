"""The pages: `/?q=`, `/product/{id}`, `/healthz`, `/version`, and their style sheet and icon."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend import settings
from frontend.backend import Backend, BackendFailed, BackendSlow, NoSuchProduct
from frontend.pages import Pages

LONGEST_SEARCH = 100  # characters
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="{colour}"/>'
    '<path d="M5 19c5.5-6 5.5 6 11 0s5.5 6 11 0M5 12c5.5-6 5.5 6 11 0s5.5 6 11 0" fill="none" stroke="#fff"'
    ' stroke-width="3" stroke-linecap="round"/></svg>'
)
SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}

log = logging.getLogger("uvicorn.error")


class NamesRelease:
    """Puts the release that answers into the header `x-release`, so that callers can tell old from new."""

    def __init__(self, app: ASGIApp, release: str) -> None:
        self.app = app
        self.release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-release"] = self.release
            await send(message)

        await self.app(scope, receive, send_named)


def create(
    *,
    backend: Backend | None = None,
    identity: settings.Identity | None = None,
    configured: settings.Settings | None = None,
) -> ASGIApp:
    """The application; what is not given is read from the process's environment.

    Raises RuntimeError if neither `backend` nor BACKEND_URL says where the backend is.
    """
    identity = identity or settings.identity()
    configured = configured or settings.load()
    client = backend or Backend(_backend_url())
    pages = Pages(configured, identity)
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    style += f":root {{ --accent: {configured.colour}; }}\n"

    async def index(request: Request) -> Response:
        words = request.query_params.get("q", "").strip()
        if len(words) > LONGEST_SEARCH:
            text = f"A search has at most {LONGEST_SEARCH} characters."
            return _html(pages.message(400, "That is too much to look for", text), 400)
        listing = await client.search(words, _trace(request))
        return _html(pages.listing(listing, words), release=listing.release)

    async def product(request: Request) -> Response:
        try:
            listing = await client.product(request.path_params["product_id"], _trace(request))
        except NoSuchProduct:
            text = "It may have been sold out, or the address has a slip in it."
            return _html(pages.message(404, "There is no such product", text), 404)
        return _html(pages.product(listing), release=listing.release)

    async def healthz(_: Request) -> PlainTextResponse:
        # Only this process: were it to ask the backend, one ill backend would take all frontends with it.
        return PlainTextResponse("ok\n")

    async def version(_: Request) -> JSONResponse:
        return JSONResponse(asdict(identity))

    async def stylesheet(_: Request) -> Response:
        return Response(style, media_type="text/css", headers={"cache-control": "max-age=60"})

    async def icon(_: Request) -> Response:
        return Response(ICON.format(colour=configured.colour), media_type="image/svg+xml")

    async def failed(request: Request, error: Exception) -> Response:
        log.warning("cannot show %s: %s: %s", request.url.path, type(error).__name__, error)
        slow = isinstance(error, BackendSlow)
        page = pages.message(
            504 if slow else 502,
            "The catalogue takes too long" if slow else "The catalogue does not answer",
            "The shop itself is here, but its shelves cannot be seen right now. Please try again in a moment.",
            again=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            label="Try again",
        )
        return _html(page, 504 if slow else 502, retry_after=5)

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        title = "There is no such page" if status == 404 else "That does not work here"
        return _html(pages.message(status, title, "Perhaps the shop itself helps."), status)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.close()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/product/{product_id}", product),
            Route("/healthz", healthz),
            Route("/version", version),
            Route("/style.css", stylesheet),
            Route("/icon.svg", icon),
        ],
        exception_handlers={BackendFailed: failed, NoSuchProduct: failed, HTTPException: refused},
        lifespan=lifespan,
    )
    return NamesRelease(app, identity.release)


def app() -> ASGIApp:
    """For `uvicorn --factory frontend.app:app`."""
    return create()


def _html(page: str, status: int = 200, *, release: str = "", retry_after: int = 0) -> HTMLResponse:
    headers = dict(SAFE)
    if release:
        headers["x-backend-release"] = release
    if retry_after:
        headers["retry-after"] = str(retry_after)
    return HTMLResponse(page, status, headers)


def _trace(request: Request) -> dict[str, str]:
    """The W3C trace context of the visitor's request, to be handed on."""
    parent = request.headers.get("traceparent", "")
    if not TRACEPARENT.fullmatch(parent):
        return {}
    state = request.headers.get("tracestate", "")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def _backend_url() -> str:
    url = os.environ.get("BACKEND_URL", "")
    if not url:
        raise RuntimeError("BACKEND_URL must say where the backend is, for example http://127.0.0.1:9001")
    return url
