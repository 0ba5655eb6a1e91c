"""What the frontend asks the backend, and what it makes of the answers, good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

PATIENCE = 3.0  # seconds for a whole answer; a visitor waits no longer
CONNECT = 1.0  # seconds until somebody answers the call at all


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. `price_cents` is in euro cents, `kind` chooses the picture."""

    id: str
    name: str
    kind: str
    price_cents: int
    description: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Products, the backend's own sentence about them, and the release that answered."""

    products: tuple[Product, ...]
    notice: str
    release: str


class BackendFailed(Exception):
    """The backend gave nothing that could be shown."""


class BackendDown(BackendFailed):
    """Nobody answered, or the answer was an error of the backend's own."""


class BackendSlow(BackendFailed):
    """The answer did not come in time."""


class BackendNonsense(BackendFailed):
    """An answer came that is no catalogue."""


class NoSuchProduct(Exception):
    """The backend knows no product of this id."""


class Backend:
    """A client for one address, with connections that are used again."""

    def __init__(
        self, url: str, *, transport: httpx.AsyncBaseTransport | None = None, patience: float = PATIENCE
    ) -> None:
        """`url` as in BACKEND_URL; `transport` replaces the network in tests; `patience` in seconds."""
        self._patience = patience
        self._client = httpx.AsyncClient(
            base_url=url,
            transport=transport,
            timeout=httpx.Timeout(patience, connect=min(CONNECT, patience)),
            # Certificates take a while to load, and plain HTTP has none.
            verify=url.startswith("https:"),
            # The address is a given one; a proxy for the internet must not stand in between.
            trust_env=False,
        )

    async def search(self, words: str, headers: Mapping[str, str]) -> Listing:
        """Products that match. Raises `BackendFailed`."""
        body, release = await self._ask("/api/products", {"q": words} if words else {}, headers)
        entries = _field(body, "products", list)
        return Listing(tuple(_product(entry) for entry in entries), _field(body, "notice", str), release)

    async def product(self, product_id: str, headers: Mapping[str, str]) -> Listing:
        """A listing of this one product. Raises `NoSuchProduct` and `BackendFailed`."""
        body, release = await self._ask(f"/api/products/{quote(product_id, safe='')}", {}, headers)
        return Listing((_product(_field(body, "product", dict)),), _field(body, "notice", str), release)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _ask(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> tuple[Any, str]:
        try:
            # The client's own limits are per read: one byte a second would pass them for ever.
            async with asyncio.timeout(self._patience):
                answer = await self._client.get(path, params=dict(params), headers=dict(headers))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise BackendSlow(f"no answer within {self._patience:g} s") from error
        except httpx.TransportError as error:
            raise BackendDown(str(error) or type(error).__name__) from error
        except httpx.HTTPError as error:
            raise BackendNonsense(str(error)) from error
        if answer.status_code == 404:
            raise NoSuchProduct(path)
        if answer.status_code == 504:
            raise BackendSlow("status 504")
        if answer.status_code >= 500:
            raise BackendDown(f"status {answer.status_code}")
        if answer.status_code != 200:
            raise BackendNonsense(f"status {answer.status_code}")
        try:
            return answer.json(), answer.headers.get("x-release", "unknown")
        except ValueError as error:
            raise BackendNonsense("the answer is not JSON") from error


def _field(body: Any, name: str, kind: type) -> Any:
    value = body.get(name) if isinstance(body, dict) else None
    # bool is an int to Python, not to a shop.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BackendNonsense(f'the answer has no proper "{name}"')
    return value


def _product(entry: Any) -> Product:
    return Product(
        id=_field(entry, "id", str),
        name=_field(entry, "name", str),
        kind=_field(entry, "kind", str),
        price_cents=_field(entry, "price_cents", int),
        description=_field(entry, "description", str),
    )
