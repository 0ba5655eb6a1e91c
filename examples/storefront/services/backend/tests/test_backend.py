"""What the backend promises to its callers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import httpx
import pytest
from backend import settings
from backend.app import create
from backend.catalogue import Catalogue, build

SERVICE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real catalogue, built as a release builds it."""
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite"
    build(SERVICE / "catalogue.json", path)
    return path


def get(catalogue: Path, path: str) -> httpx.Response:
    """One answer of the application, without a server."""

    async def ask() -> httpx.Response:
        app = create(
            catalogue=catalogue,
            identity=settings.Identity(release="r1", environment="test", instance="2"),
            configured=settings.Settings(notice="Only a test."),
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_every_product_is_listed_with_its_price(catalogue: Path) -> None:
    """Without a search all products come, sorted by name, beside the environment's own notice."""
    body = get(catalogue, "/api/products").json()
    names = [product["name"] for product in body["products"]]
    assert len(names) == len(json.loads((SERVICE / "catalogue.json").read_text()))
    assert names == sorted(names)
    assert all(product["price_cents"] > 0 for product in body["products"])
    assert body["notice"] == "Only a test."


@pytest.mark.parametrize(("words", "found"), [("COMPASS", ["compass"]), ("hemp", ["rope"]), ("%", []), ("' OR 1", [])])
def test_search_looks_for_the_words_and_nothing_else(catalogue: Path, words: str, found: list[str]) -> None:
    """Capitals do not matter, descriptions count, and signs that mean something to a database mean nothing here."""
    answer = get(catalogue, str(httpx.URL("/api/products", params={"q": words})))
    assert [product["id"] for product in answer.json()["products"]] == found


def test_a_search_too_long_is_refused(catalogue: Path) -> None:
    """It is answered at once, with a reason."""
    answer = get(catalogue, "/api/products?q=" + "x" * 101)
    assert answer.status_code == 400
    assert "100 characters" in answer.json()["error"]


def test_one_product_or_a_clear_no(catalogue: Path) -> None:
    """A product is found by its id; an unknown one is 404."""
    assert get(catalogue, "/api/products/compass").json()["product"]["name"] == "Harbour compass"
    assert get(catalogue, "/api/products/anchor").status_code == 404


def test_every_answer_names_its_release(catalogue: Path) -> None:
    """Good and bad answers alike; `/version` says it in words."""
    for path in ("/api/products", "/api/products/anchor", "/nowhere", "/healthz"):
        assert get(catalogue, path).headers["x-release"] == "r1"
    assert get(catalogue, "/version").json() == {"release": "r1", "environment": "test", "instance": "2"}


def test_the_catalogue_cannot_be_written(catalogue: Path) -> None:
    """The file is opened read-only, so not even a mistake can change a release."""
    opened = Catalogue(catalogue)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        opened._connection.execute("DELETE FROM products")
    opened.close()


def test_a_missing_catalogue_says_how_to_make_it(tmp_path: Path) -> None:
    """Who starts the service alone, before building it, reads the command that is missing."""
    with pytest.raises(FileNotFoundError, match=r"python -m backend\.catalogue"):
        create(catalogue=tmp_path / "catalogue.sqlite")


@pytest.mark.parametrize("environment", ["dev", "stage", "prod"])
def test_each_environment_has_a_notice_of_its_own(environment: str) -> None:
    """The settings files of all environments can be read."""
    texts = {name: settings.load({"TIDEGATE_SETTINGS": str(SERVICE / f"settings/{name}.json")}).notice
             for name in ("dev", "stage", "prod")}
    assert len(set(texts.values())) == 3
    assert texts[environment]


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """The service does not start with them, and says which file it was."""
    file = tmp_path / "dev.json"
    file.write_text('{"notice": 7}')
    with pytest.raises(ValueError, match=r"dev\.json"):
        settings.load({"TIDEGATE_SETTINGS": str(file)})


def test_started_alone_it_says_that_it_is_no_release() -> None:
    """Without Tidegate there is no release, no environment and no instance to name."""
    assert settings.identity({}) == settings.Identity(release="unreleased", environment="none", instance="alone")
    given = {"TIDEGATE_RELEASE": "r1", "TIDEGATE_ENVIRONMENT": "dev", "TIDEGATE_INSTANCE": "2"}
    assert settings.identity(given) == settings.Identity(release="r1", environment="dev", instance="2")
