"""What lies in the artifact folder is what was built there, or nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.projects import Shop, make


@pytest.fixture
def shop(short_tmp: Path) -> Iterator[Shop]:
    """Ended and gone after the test."""
    made = make(short_tmp)
    yield made
    made.run("down", "--all", "--yes")


def test_a_damaged_artifact_is_refused_and_built_again(shop: Shop) -> None:
    """Also where building again does not give the same bytes: the old artifact is forgotten, users notice nothing."""
    manifest = shop.root / "backend" / "service.yaml"
    manifest.write_text(f"build: date +%s%N > built\n{manifest.read_text()}")
    shop.run("up", "dev")
    (found,) = [each for each in shop.json("releases")["releases"] if each["component"] == "backend"]
    (built,) = (shop.root / ".tidegate" / "artifacts" / "backend").glob("*/tree/backend/built")
    first = built.read_text()
    built.write_text("damaged\n")

    refused = shop.json("up", "try", status=1)
    assert "built" in str(refused)
    assert "tidegate release backend" in str(refused)
    assert shop.answer("frontend") == "frontend 1 on backend 1"

    shop.run("release", "backend")
    assert built.read_text() not in {first, "damaged\n"}
    shop.run("up", "try")
    (again,) = [each for each in shop.json("releases")["releases"] if each["component"] == "backend"]
    assert (again["digest"], again["built"]) == (found["digest"], True)


def test_a_failed_build_leaves_nothing_but_its_log(shop: Shop) -> None:
    """And the next `up` builds it from the beginning."""
    manifest = shop.root / "backend" / "service.yaml"
    good = manifest.read_text()
    manifest.write_text(f"build: touch half; echo no such compiler; exit 3\n{good}")
    failed = shop.run("up", "dev", status=1)
    assert "no such compiler" in failed.err
    assert list((shop.root / ".tidegate" / "artifacts").glob("backend/*/tree")) == []
    assert "backend" not in {each["component"] for each in shop.json("releases")["releases"]}
    manifest.write_text(good)
    shop.run("up", "dev")
