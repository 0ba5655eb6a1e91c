"""What the service promises to its callers, as far as that needs no database."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from orders.app import create
from orders.migrate import read
from orders.store import Orders, address


def ask(method: str, path: str, **more: object) -> httpx.Response:
    """One answer of the application, without a server, and with a database that nobody runs."""
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        orders = Orders(f"postgresql://shop@127.0.0.1:{taken.getsockname()[1]}/none")

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app=create(orders, {"TIDEGATE_RELEASE": "r1"}))
            async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
                return await client.request(method, path, **more)

        return asyncio.run(one())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"compass", "Expecting"),
        (b"\xff", "decode"),
        (b"[]", "write an order as"),
        (b"{}", "product"),
        (b'{"product": ""}', "product"),
        (b'{"product": "a\\u0000b"}', "product"),
        (b'{"product": "compass", "quantity": 0}', "quantity"),
        (b'{"product": "compass", "quantity": true}', "quantity"),
        (b'{"product": "compass", "quantity": "1"}', "quantity"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(body: bytes, word: str) -> None:
    """With a sentence, and without asking the database."""
    answer = ask("POST", "/orders", content=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/orders"), ("GET", "/orders/7"), ("POST", "/orders")])
def test_without_its_database_it_says_so_and_when_to_come_again(method: str, path: str) -> None:
    """503, and no word of where the database is; it is healthy all the same, for new instances would not mend it."""
    answer = ask(method, path, json={"product": "compass"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "127.0.0.1" not in answer.text
    assert ask("GET", "/healthz").status_code == 200


def test_an_order_that_nobody_can_have_placed_is_not_found() -> None:
    """A number too large for the database is not asked for."""
    assert ask("GET", f"/orders/{2**63}").status_code == 404
    assert ask("GET", "/orders/compass").status_code == 404


def test_it_names_the_release_that_answers() -> None:
    """In the header of every answer, and at /version."""
    answer = ask("GET", "/version")
    assert answer.headers["x-release"] == "r1"
    assert answer.json() == {"release": "r1", "environment": "none", "instance": "alone"}


def test_every_migration_can_be_taken_back(tmp_path: Path) -> None:
    """Each has its undo; one without is refused by name."""
    assert [migration.number for migration in read()] == list(range(1, len(read()) + 1))
    (tmp_path / "0002_notes.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"0002_notes\.undo\.sql is missing"):
        read(tmp_path)


def test_without_a_database_address_it_says_what_is_missing() -> None:
    """Who starts the service alone reads which variable to set."""
    with pytest.raises(RuntimeError, match="ORDERS_DB_URL"):
        address({})
