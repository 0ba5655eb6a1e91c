"""A build that failed for want of a proxy or a certificate says which of the caller's variables it did not see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builds.checkouts import write
from tidegate.builds.source import read_sources
from tidegate.builds.tree import BuildRequest, TreeArtifacts
from tidegate.errors import BuildFailed
from tidegate.model.digest import digest
from tidegate.model.network import NETWORK_VARIABLES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine needs itself."""
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def hint(root: Path, **env: str) -> str:
    """Of a build that fails."""
    write(root, {"app/main.py": ""})
    log = root / ".tidegate" / "app.log"
    sources = read_sources(root, ["app"])
    request = BuildRequest("app", digest("release", "1"), root, sources, "app", "exit 1", env, log)
    with pytest.raises(BuildFailed) as failed:
        await TreeArtifacts(root / ".tidegate" / "artifacts").build(request)
    return failed.value.hint.removeprefix(f"The whole log: {log}")


async def test_variables_that_were_not_passed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line to write, which keeps what is passed already; values are not shown."""
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/acme.pem")
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy")
    said = await hint(tmp_path, NPM_TOKEN="x")
    assert said.startswith("\nBuilds do not see SSL_CERT_FILE, https_proxy of your environment.")
    assert said.endswith("tidegate.yaml: `builds: {pass: [NPM_TOKEN, SSL_CERT_FILE, https_proxy]}`")
    assert "hunter2" not in said


async def test_nothing_is_said_where_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed already, set to nothing, or not set."""
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/acme.pem")
    monkeypatch.setenv("HTTPS_PROXY", "")
    assert await hint(tmp_path, SSL_CERT_FILE="/etc/acme.pem") == ""
