"""What tags mean now: told by registries, and why not where they do not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builds.fake_registry import fake_registry
from tidegate.builds.image_tags import look_up

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_tags_are_looked_up_and_failures_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is pinned as a whole; no tag means latest; one that fails keeps the others from nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with fake_registry() as open_, fake_registry() as closed:
        closed.user, closed.password = "ana", "not-a-secret-of-anybody"
        index = open_.put_index("shop/app", open_.put_image("shop/app"))
        image = open_.put_image("shop/one")
        open_.content["shop/app", "1.4"] = open_.content["shop/app", index["digest"]]
        open_.content["shop/one", "latest"] = open_.content["shop/one", image["digest"]]
        app, one, none = (f"{open_.host}/shop/{name}" for name in ("app:1.4", "one", "none:2"))
        refused, odd = f"{closed.host}/shop/app:1", "not/An image"
        found = await look_up([app, one, none, refused, odd], pause=0.001)
    assert found.digests == {app: index["digest"], one: image["digest"]}
    assert found.failures.keys() == {none, refused, odd}
    assert found.failures[none] == "its registry has no such image"
    assert closed.host in found.failures[refused]
    assert "is no name of an image" in found.failures[odd]
