"""The JSON API: `POST /orders`, `GET /orders`, `GET /orders/{id}`, `/healthz`, `/version`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orders.store import Order, Orders, address

LONGEST_PRODUCT = 100  # characters
MOST = 1000  # of one product in one order
LARGEST_ID = 2**63 - 1


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


def create(orders: Orders, env: Mapping[str, str] = os.environ) -> ASGIApp:
    """The application; who answers is read from the variables that Tidegate gives to every instance."""
    identity = {
        "release": env.get("TIDEGATE_RELEASE", "unreleased"),
        "environment": env.get("TIDEGATE_ENVIRONMENT", "none"),
        "instance": env.get("TIDEGATE_INSTANCE", "alone"),
    }

    async def place(request: Request) -> Response:
        try:
            product, quantity = wanted(await request.json())
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        placed = await orders.place(product, quantity)
        return JSONResponse(shown(placed), 201, headers={"location": f"/orders/{placed.id}"})

    async def latest(_: Request) -> Response:
        return JSONResponse({"orders": [shown(order) for order in await orders.latest()]})

    async def one(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        found = await orders.find(order_id) if order_id <= LARGEST_ID else None
        if found is None:
            return JSONResponse({"error": "no such order"}, 404)
        return JSONResponse(shown(found))

    async def healthz(_: Request) -> Response:
        # Says nothing of the database: new instances would not mend it, and `verify` asks for it before the switch.
        return PlainTextResponse("ok\n")

    async def version(_: Request) -> Response:
        return JSONResponse(identity)

    async def away(_: Request, error: Exception) -> Response:
        print(f"the database does not answer: {error}", file=sys.stderr, flush=True)
        body = {"error": "orders cannot be taken or shown just now"}
        return JSONResponse(body, 503, headers={"retry-after": "2"})

    app = Starlette(
        routes=[
            Route("/orders", place, methods=["POST"]),
            Route("/orders", latest),
            Route("/orders/{order_id:int}", one),
            Route("/healthz", healthz),
            Route("/version", version),
        ],
        exception_handlers={psycopg.OperationalError: away},
    )
    return NamesRelease(app, identity["release"])


def wanted(body: Any) -> tuple[str, int]:
    """Product and quantity of an order. Raises ValueError that says what is wrong with it."""
    if not isinstance(body, dict):
        raise ValueError('write an order as {"product": "compass", "quantity": 1}')
    product, quantity = body.get("product"), body.get("quantity", 1)
    if not isinstance(product, str) or not 0 < len(product) <= LONGEST_PRODUCT or "\0" in product:
        raise ValueError(f'"product" is a name of at most {LONGEST_PRODUCT} characters')
    if type(quantity) is not int or not 0 < quantity <= MOST:
        raise ValueError(f'"quantity" is a whole number from 1 to {MOST}')
    return product, quantity


def shown(order: Order) -> dict[str, Any]:
    """An order as JSON; times in ISO 8601."""
    times = {"placed_at": order.placed_at, "fulfilled_at": order.fulfilled_at}
    return asdict(order) | {name: time.isoformat() if time else None for name, time in times.items()}


def app() -> ASGIApp:
    """For `uvicorn --factory orders.app:app`."""
    return create(Orders(address()))
