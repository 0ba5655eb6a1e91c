"""The JSON API: `/api/products?q=`, `/api/products/{id}`, `/healthz`, `/version`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend import settings
from backend.catalogue import Catalogue

CATALOGUE = Path(__file__).parent.parent / "catalogue.sqlite"
LONGEST_SEARCH = 100  # characters


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
    catalogue: Path = CATALOGUE,
    identity: settings.Identity | None = None,
    configured: settings.Settings | None = None,
) -> ASGIApp:
    """The application; what is not given is read from the process's environment."""
    identity = identity or settings.identity()
    notice = (configured or settings.load()).notice
    opened = Catalogue(catalogue)

    # Queries run right here and not in a thread: the catalogue is small and in memory after its first read.

    async def products(request: Request) -> JSONResponse:
        words = request.query_params.get("q", "").strip()
        if len(words) > LONGEST_SEARCH:
            return JSONResponse({"error": f"a search has at most {LONGEST_SEARCH} characters"}, 400)
        return JSONResponse({"products": [asdict(found) for found in opened.search(words)], "notice": notice})

    async def product(request: Request) -> JSONResponse:
        found = opened.product(request.path_params["product_id"])
        if found is None:
            return JSONResponse({"error": "no such product"}, 404)
        return JSONResponse({"product": asdict(found), "notice": notice})

    async def healthz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def version(_: Request) -> JSONResponse:
        return JSONResponse(asdict(identity))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        opened.close()

    app = Starlette(
        routes=[
            Route("/api/products", products),
            Route("/api/products/{product_id}", product),
            Route("/healthz", healthz),
            Route("/version", version),
        ],
        lifespan=lifespan,
    )
    return NamesRelease(app, identity.release)


def app() -> ASGIApp:
    """For `uvicorn --factory backend.app:app`."""
    return create()
