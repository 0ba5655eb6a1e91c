"""Registries: what is read of them is what its digest says; who we are is told to them alone; errors in plain words."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.builds.checkouts import write
from tests.builds.fake_registry import FakeRegistry, fake_registry
from tidegate.builds.image_artifacts import RELEASE_LABEL, ImageArtifacts
from tidegate.builds.image_names import Announced, ImageName, announced, image_below, pinned_image, registry_at
from tidegate.builds.registry import Registries
from tidegate.errors import ArtifactDamaged, ArtifactsUnreachable, ReleaseError
from tidegate.model.component import Artifact

pytestmark = pytest.mark.anyio
NOWHERE = f"sha256:{'0' * 64}"
PASSWORD = "not-a-secret-of-anybody"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody is logged in."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    client = Registries(pause=0.001)
    yield client
    await client.aclose()


def log_in(home: Path, registry: FakeRegistry) -> None:
    auth = base64.b64encode(f"ana:{PASSWORD}".encode()).decode()
    write(home, {".docker/config.json": json.dumps({"auths": {registry.host: {"auth": auth}}})})


async def test_an_image_is_copied_with_all_that_it_is_made_of(registries: Registries, fake: FakeRegistry) -> None:
    """An index with its images; what is there is not sent again; within a registry nothing is sent at all."""
    images = [fake.put_image("dev/app", layer=layer) for layer in (b"one", b"two")]
    index = fake.put_index("dev/app", *images)
    dev = ImageName(fake.host, "dev/app")
    await registries.copy(dev, index["digest"], ImageName(fake.host, "prod/app"))
    with fake_registry() as other:
        elsewhere = ImageName(other.host, "prod/app")
        await registries.copy(dev, index["digest"], elsewhere)
        for registry in (fake, other):
            assert {digest for name, digest in registry.content if name == "prod/app"} == {
                digest for name, digest in fake.content if name == "dev/app"
            }
        assert not [line for line in fake.asked if line.startswith("PUT /v2/prod/app/blobs")]
        assert other.content["prod/app", index["digest"]] == fake.content["dev/app", index["digest"]]
        sent = len(other.asked)
        await registries.copy(dev, index["digest"], elsewhere)
        assert len(other.asked) == sent + 1


@pytest.mark.parametrize("auth", ["Basic", "Bearer"])
async def test_a_registry_is_told_who_we_are_as_docker_login_wrote_it_down(
    registries: Registries, home: Path, auth: str
) -> None:
    with fake_registry(user="ana", password=PASSWORD, auth=auth) as registry:
        log_in(home, registry)
        assert not await registries.has(ImageName(registry.host, "app"), NOWHERE)


@pytest.mark.parametrize("auth", ["Basic", "Bearer"])
async def test_who_is_refused_is_told_to_log_in_and_no_secret_is_shown(
    registries: Registries, home: Path, auth: str
) -> None:
    with fake_registry(user="bo", password="another", auth=auth) as registry:
        for logged_in in (False, True):
            if logged_in:
                log_in(home, registry)
            with pytest.raises(ArtifactsUnreachable) as caught:
                await registries.has(ImageName(registry.host, "app"), NOWHERE)
            assert f"docker login {registry.host}" in caught.value.hint
            shown = "".join(traceback.format_exception(caught.value))
            assert PASSWORD not in shown
            assert base64.b64encode(f"ana:{PASSWORD}".encode()).decode() not in shown


async def test_credential_helpers_are_asked(
    registries: Registries, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"Username": "ana", "Secret": PASSWORD})
    helper = f"#!/bin/sh\nread host\necho \"$host\" > {home}/asked\necho '{answer}'\n"
    write(home, {"bin/docker-credential-tests": helper})
    monkeypatch.setenv("PATH", f"{home}/bin:/usr/bin:/bin")
    with fake_registry(user="ana", password=PASSWORD) as registry:
        write(home, {".docker/config.json": json.dumps({"credHelpers": {registry.host: "tests"}})})
        assert not await registries.has(ImageName(registry.host, "app"), NOWHERE)
        assert (home / "asked").read_text().strip() == registry.host
        write(home, {".docker/config.json": json.dumps({"credsStore": "missing"})})
        with pytest.raises(ArtifactsUnreachable, match="docker-credential-missing"):
            await registries.has(ImageName(registry.host, "app/other"), NOWHERE)


async def test_a_busy_registry_is_asked_again_and_one_that_stays_busy_is_never_taken_for_empty(
    registries: Registries,
) -> None:
    with fake_registry(busy=2) as registry:
        digest = registry.put_image("app")["digest"]
        assert await registries.has(ImageName(registry.host, "app"), digest)
        registry.busy = 1000
        with pytest.raises(ArtifactsUnreachable, match="429"):
            await registries.has(ImageName(registry.host, "app"), NOWHERE)
    with pytest.raises(ArtifactsUnreachable, match="does not answer"):  # it has gone
        await registries.has(ImageName(registry.host, "app"), digest)


async def test_nothing_that_is_damaged_is_used_or_copied(registries: Registries, fake: FakeRegistry) -> None:
    """Neither a manifest nor a layer with other bytes than its digest says."""
    source = ImageName(fake.host, "dev/app")
    with fake_registry() as other:
        target = ImageName(other.host, "app")
        for wrong in (b"another", b"more than there was", b""):
            descriptor = fake.put_image("dev/app", layer=b"a layer")
            layer = fake.put("dev/app", b"a layer", "layer")
            fake.content["dev/app", layer["digest"]] = ("layer", wrong)
            with pytest.raises(ArtifactDamaged):
                await registries.copy(source, descriptor["digest"], target)
        assert not await registries.has(target, descriptor["digest"])
        assert ("app", layer["digest"]) not in other.content

        fake.content["dev/app", descriptor["digest"]] = ("manifest", b"{}")
        with pytest.raises(ArtifactDamaged):
            await registries.copy(source, descriptor["digest"], target)
        with pytest.raises(ArtifactDamaged, match="not there any more"):
            await registries.copy(source, NOWHERE, target)


async def test_only_what_was_built_for_a_release_is_removed_and_a_registry_that_deletes_nothing_says_so(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async def place() -> Announced:
        return registry_at(f"{fake.host}/shop")

    artifacts = ImageArtifacts(tmp_path / "artifacts", place, platform="linux/amd64")
    labels = {RELEASE_LABEL: "sha256:r"}
    own, foreign = (fake.put_image("shop/app", labels=each)["digest"] for each in (labels, {}))

    def artifact(digest: str) -> Artifact:
        return Artifact(digest, "sha256:r", "image", "linux/amd64", f"{fake.host}/shop/app@{digest}")

    assert await artifacts.present() == {}
    assert artifacts.reaches(artifact(own))
    fake.deletes = False
    with pytest.raises(ReleaseError, match="does not allow that anything is deleted"):
        await artifacts.remove(artifact(own))
    fake.deletes = True
    for digest in (own, own, foreign):  # the second time it is gone
        await artifacts.remove(artifact(digest))
    assert not await artifacts.available(artifact(own))
    assert await artifacts.available(artifact(foreign))
    await artifacts.aclose()


async def test_nodes_pull_by_the_address_that_the_cluster_announces_for_them(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async def place() -> Announced:
        return announced(f'host: "{fake.host}"\nhostFromContainerRuntime: "registry:5000"\n')

    artifacts = ImageArtifacts(tmp_path / "artifacts", place, platform="linux/amd64")
    digest = fake.put_image("app")["digest"]
    artifact = Artifact(digest, "sha256:r", "image", "linux/amd64", f"{fake.host}/app@{digest}")
    assert await artifacts.reference(artifact, "app") == f"registry:5000/app@{digest}"
    await artifacts.aclose()


def test_names_of_images_are_read_as_all_tools_read_them() -> None:
    assert pinned_image(f"python:3.12@{NOWHERE}") == (ImageName("docker.io", "library/python"), NOWHERE)
    assert pinned_image(f"acme/app@{NOWHERE}") == (ImageName("docker.io", "acme/app"), NOWHERE)
    assert pinned_image(f"localhost:5000/app@{NOWHERE}") == (ImageName("localhost:5000", "app"), NOWHERE)
    assert str(image_below("registry.acme.example/shop/", "app")) == "registry.acme.example/shop/app"
    with pytest.raises(ReleaseError, match="not pinned"):
        pinned_image("python:3.12")
    for wrong in ("https://registry.acme.example", "shop", "registry.acme.example/Shop"):
        with pytest.raises(ReleaseError, match="no address of a registry"):
            image_below(wrong, "app")
    assert announced('host: "localhost:5001"') == Announced("localhost:5001", "localhost:5001")
    with pytest.raises(ReleaseError, match="does not say `host:`"):
        announced("help: https://kind.example")
