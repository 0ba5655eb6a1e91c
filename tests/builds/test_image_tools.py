"""What builds images on this machine is found by whether it works, and what it is told leaks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builds.checkouts import write
from tidegate.builds.image_artifacts import ImageArtifacts
from tidegate.builds.image_build import ImageBuilder
from tidegate.builds.image_file import hosts_of_bases, made_dockerfile, secrets_of
from tidegate.builds.image_names import Announced, registry_at
from tidegate.builds.image_tools import ImageOrder, ImageTool, digest_in, find_tool
from tidegate.errors import BuildFailed, ReleaseError
from tidegate.model.component import NO_IMAGE, ImageRecipe
from tidegate.ports.builder import Recipe

pytestmark = pytest.mark.anyio
BASE = f"registry.acme.example/base@sha256:{'b' * 64}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs; empty."""
    for name in ("TIDEGATE_IMAGE_TOOL", "TIDEGATE_BUILDAH_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    found = tmp_path / "bin"
    found.mkdir()
    monkeypatch.setenv("PATH", str(found))
    return found


def install(programs: Path, name: str, script: str) -> None:
    write(programs, {name: f"#!/bin/sh\n{script}\n"})


async def test_what_is_installed_and_does_not_work_is_passed_over(programs: Path) -> None:
    """A command line of docker without its daemon or buildx is none; storage that cannot be is chosen otherwise."""
    install(programs, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    install(programs, "buildah", 'test "$2" = vfs || { echo "overlay is not supported over overlayfs" >&2; exit 125; }')
    assert await find_tool() == ImageTool("buildah", ("--storage-driver", "vfs"))
    install(programs, "podman", "exit 0")
    assert await find_tool() == ImageTool("podman")
    install(programs, "docker", 'test "$1" = info')
    assert await find_tool() == ImageTool("podman")
    install(programs, "docker", "exit 0")
    assert await find_tool() == ImageTool("docker")


async def test_a_manifest_names_the_tool_and_a_machine_has_the_last_word(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("docker", "podman", "buildah"):
        install(programs, name, "exit 0")
    assert await find_tool("podman") == ImageTool("podman")
    monkeypatch.setenv("TIDEGATE_IMAGE_TOOL", "buildah")
    monkeypatch.setenv("TIDEGATE_BUILDAH_FLAGS", "--root '/srv/my images'")
    assert await find_tool("podman") == ImageTool("buildah", ("--root", "/srv/my images"))
    monkeypatch.setenv("TIDEGATE_IMAGE_TOOL", "kaniko")
    with pytest.raises(BuildFailed, match="kaniko"):
        await find_tool()


async def test_where_nothing_can_build_it_is_said_of_each_why(programs: Path) -> None:
    install(programs, "docker", "echo 'Is the docker daemon running?' >&2; exit 1")
    with pytest.raises(BuildFailed) as caught:
        await find_tool()
    assert caught.value.detail.splitlines() == [
        "docker: its daemon does not answer (Is the docker daemon running?)",
        "podman: not installed",
        "buildah: not installed",
    ]
    assert "Install one of them" in caught.value.hint
    with pytest.raises(BuildFailed) as caught:
        await find_tool("podman")
    assert caught.value.detail == "podman: not installed"


def test_the_digest_is_what_the_tool_says_that_it_pushed() -> None:
    digest = f"sha256:{'a' * 64}"
    assert digest_in(f"{digest}\n", "shop/app") == digest
    said = f'["acme.example/other@sha256:{"c" * 64}","registry.acme.example/shop/app@{digest}"]'
    assert digest_in(said, "shop/app") == digest
    assert digest_in("[]", "shop/app") == ""
    for tool in (ImageTool("docker"), ImageTool("podman"), ImageTool("buildah")):
        command = tool.push("registry.acme.example/app:1", Path("/x/digest"), plain=False)
        assert "/x/digest" in command
        assert "tls-verify" not in command


def test_no_value_of_a_variable_is_on_a_command_line_or_in_a_dockerfile(tmp_path: Path) -> None:
    """Names alone; files by their path, and folders not at all."""
    write(tmp_path, {"ca.crt": "a certificate"})
    passed = {"TOKEN": "very-secret", "SSL_CERT_FILE": str(tmp_path / "ca.crt"), "SSL_CERT_DIR": str(tmp_path)}
    secrets = secrets_of(passed)
    assert secrets == {"TOKEN": "env=TOKEN", "SSL_CERT_FILE": f"type=file,src={tmp_path}/ca.crt"}
    made = made_dockerfile(base=BASE, tree="tree", folder="app", command="echo $TOKEN\necho '\"'", secrets=secrets)
    order = ImageOrder(
        file=tmp_path / "Dockerfile", context=tmp_path, sources=tmp_path, tag="acme.example/app:1",
        platform="linux/amd64", secrets=secrets, arguments=["HTTP_PROXY"],
    )  # fmt: skip
    for tool in (ImageTool("docker"), ImageTool("podman"), ImageTool("buildah")):
        assert "very-secret" not in tool.build(order)
        assert "--no-cache" in tool.build(order)
    assert "very-secret" not in made
    assert made.splitlines()[0] == f"FROM {BASE}"
    assert len(made.splitlines()) == 6  # the command, with its quotes and lines, is one of them


def test_registries_of_base_images_are_read_from_a_dockerfile() -> None:
    text = (
        "ARG X=1\nfrom --platform=linux/amd64 10.0.0.1:5000/base:1 AS Build\nFROM build AS two\nFROM scratch\n"
        "FROM python:3.12-slim\nFROM $BASE\n# FROM commented.example/x\n"
    )
    assert hosts_of_bases(text) == {"10.0.0.1:5000", "docker.io"}


async def test_a_component_that_cannot_become_an_image_is_told_what_to_write(tmp_path: Path) -> None:
    """Nothing is said of an image; the Dockerfile is no source; the base is not pinned."""

    async def place() -> Announced:
        return registry_at("registry.acme.example")

    write(tmp_path, {"app/main.py": "", "app/Dockerfile": "FROM scratch", ".gitignore": "Dockerfile\n"})
    artifacts = ImageArtifacts(tmp_path / ".tidegate" / "artifacts", place)
    builder = ImageBuilder(tmp_path, artifacts, {}, logs=tmp_path / "logs")

    async def error(image: ImageRecipe) -> ReleaseError:
        with pytest.raises(ReleaseError) as caught:
            await builder.build(Recipe("app", ("app",), (), "app", "", image), f"sha256:{'a' * 64}", lambda _: None)
        return caught.value

    assert "Dockerfile beside its manifest" in (await error(NO_IMAGE)).hint
    said = await error(ImageRecipe(dockerfile="app/Dockerfile"))
    assert "app/Dockerfile is not one of its sources" in said.detail
    assert ".gitignore" in said.hint
    await artifacts.aclose()
