"""Images: built once by a real program, pushed to a real registry, pulled by a real node by their digest."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import httpx2
import psutil
import pytest
from lightkube import Client, codecs
from lightkube.resources.core_v1 import ConfigMap, Pod

from tests.builds.checkouts import write
from tests.kubernetes.cluster import Cluster, must_be_there
from tidegate.builds.image_artifacts import ImageArtifacts
from tidegate.builds.image_build import ImageBuilder
from tidegate.builds.image_names import Announced, ImageName, announced, registry_at
from tidegate.builds.registry import Json
from tidegate.errors import ArtifactDamaged, BuildFailed
from tidegate.model.component import Artifact, ImageRecipe
from tidegate.model.digest import digest
from tidegate.ports.builder import Recipe

pytestmark = pytest.mark.anyio
WITHIN = 90.0  # seconds; never near
RELEASE = digest("release", "1")
SECRET = "https://ana:not-a-secret-of-anybody@packages.acme.example"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: app
      image: IMAGE
      command: [/bin/sh, -c, "cat made && id -u"]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def program(name: str) -> str:
    """A program of Debian's that these tests need."""
    found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
    if found is None:
        why = f"{name} is not installed"
        if must_be_there():
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """With a storage of its own; without kinds that leave mounts."""
    folder = tmp_path_factory.mktemp("buildah")
    flags = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    return [program("buildah"), *flags]


@pytest.fixture
def uses_buildah(buildah: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_IMAGE_TOOL", "buildah")
    monkeypatch.setenv("TIDEGATE_BUILDAH_FLAGS", " ".join(buildah[1:]))


class Yard:
    """A checkout, and what is built of it for a registry."""

    def __init__(self, root: Path, registry: str, base: str) -> None:
        self.root = root
        self.registry = registry
        self.base = base
        self.artifacts = self.for_registry(registry)
        self.lines: list[str] = []

    def for_registry(self, registry: str) -> ImageArtifacts:
        """Another command, on the same machine, for a place with this registry."""

        async def place() -> Announced:
            return registry_at(registry)

        return ImageArtifacts(self.root / ".tidegate" / "artifacts", place)

    def builder(self, **env: str) -> ImageBuilder:
        return ImageBuilder(self.root, self.artifacts, env, logs=self.root / ".tidegate" / "logs")

    async def build(
        self, image: ImageRecipe, command: str = "", *, on_line: Callable[[str], None] | None = None, **env: str
    ) -> Artifact:
        recipe = Recipe("app", ("app", "shared"), (), "app", command, image)
        return await self.builder(**env).build(recipe, RELEASE, on_line or self.lines.append)

    async def by_command(self, command: str, *, on_line: Callable[[str], None] | None = None, **env: str) -> Artifact:
        return await self.build(ImageRecipe(base=self.base), command, on_line=on_line, **env)

    async def configuration(self, artifact: Artifact) -> Json:
        found = await self.artifacts.registries.configurations(self.name(artifact), artifact.digest)
        assert found is not None
        return found[0]

    def name(self, artifact: Artifact) -> ImageName:
        host, _, repository = artifact.location.partition("@")[0].partition("/")
        return ImageName(host, repository)

    def left(self) -> list[str]:
        """What lies where images are built, apart from locks and what was noted of those that are done."""
        return sorted(path.name for path in (self.root / ".tidegate" / "artifacts").glob("app/*.image"))


@pytest.fixture
async def yard(tmp_path: Path, cluster: Cluster, uses_buildah: None) -> AsyncIterator[Yard]:
    files = {"app/main.py": "print('hello')\n", "app/.dockerignore": "*\n!main.py\n", "shared/rules": "42\n"}
    write(tmp_path, {**files, ".gitignore": "*.log\n", "app/debug.log": ""})
    found = Yard(tmp_path, f"{cluster.registry}/test-{uuid.uuid4().hex[:10]}", cluster.images["base"])
    yield found
    await found.artifacts.aclose()


@contextmanager
def another_registry(folder: Path) -> Iterator[str]:
    """A real one on loopback, empty; ended by its pid."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    storage = {"rootdirectory": str(folder / "data")}
    config = {"version": 0.1, "storage": {"filesystem": storage}, "http": {"addr": f"127.0.0.1:{port}"}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        command = [program("docker-registry"), "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/v2/"))
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)


async def test_without_a_dockerfile_the_build_command_makes_an_image_that_runs_in_the_cluster_as_nobody(
    yard: Yard, client: Client, namespace: str
) -> None:
    """From a base pinned by its digest; nodes pull it by digest from the registry that the cluster announces."""
    artifact = await yard.by_command("cp ../shared/rules made\npwd\nid -u")
    assert (artifact.format, artifact.release) == ("image", RELEASE)
    assert artifact.location == f"{yard.registry}/app@{artifact.digest}"
    assert {"/app/app", "65532"} <= set(yard.lines)
    configuration = await yard.configuration(artifact)
    assert configuration["config"]["User"] == "65532:65532"
    assert configuration["config"]["Labels"]["dev.tidegate.release"] == artifact.release

    told = client.get(ConfigMap, "local-registry-hosting", namespace="kube-public").data or {}
    place = announced(told["localRegistryHosting.v1"])
    reference = await yard.artifacts.reference(artifact, "app")
    assert reference.startswith(f"{place.pull}/")
    (pod,) = codecs.load_all_yaml(POD.replace("IMAGE", reference))
    assert isinstance(pod, Pod)
    client.create(pod, namespace=namespace)

    def ended() -> bool:
        status = client.get(Pod, "app").status
        assert status is not None
        assert status.phase != "Failed"
        return status.phase == "Succeeded"

    await anyio.to_thread.run_sync(until, ended)
    assert "".join(client.log("app")).split() == ["42", "65532"]


async def test_builds_see_the_variables_that_they_may_and_no_value_stays_in_the_image(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names a file of this machine, such as a certificate, brings the file."""
    certificate = tmp_path / "ca.crt"
    certificate.write_text("a certificate\n")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.acme.example:3128")  # of the caller, and not passed
    monkeypatch.setenv("NO_PROXY", "*")
    passed = {"PIP_INDEX_URL": SECRET, "SSL_CERT_FILE": str(certificate)}
    command = 'test "$PIP_INDEX_URL" = ' + SECRET[:8] + '"${PIP_INDEX_URL#https://}"\ncat "$SSL_CERT_FILE"\nenv | sort'
    artifact = await yard.by_command(command, on_line=None, **passed)
    assert "a certificate" in yard.lines
    assert f"PIP_INDEX_URL={SECRET}" in yard.lines
    assert not [line for line in yard.lines if line.startswith("HTTP_PROXY=")]
    assert "not-a-secret" not in json.dumps(await yard.configuration(artifact))


async def test_a_dockerfile_is_built_from_the_sources_alone(yard: Yard) -> None:
    """Its folder is the context, with its .dockerignore; all sources are the context `sources`. Secrets are mounted."""
    dockerfile = (
        f"FROM {yard.base}\nWORKDIR /srv\nCOPY . .\nCOPY --from=sources shared/rules rules\n"
        "RUN ls -A . && cat rules\nRUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN && echo\nUSER 1000\n"
    )
    write(yard.root, {"app/Dockerfile": dockerfile})
    artifact = await yard.build(ImageRecipe(dockerfile="app/Dockerfile"), TOKEN="told")
    listed = yard.lines[yard.lines.index("main.py") :]
    assert listed[:3] == ["main.py", "rules", "42"]
    assert "told" in listed
    assert (await yard.configuration(artifact))["config"]["User"] == "1000"


async def test_a_release_is_built_once_and_found_by_whoever_comes_second(yard: Yard) -> None:
    """Two commands at once: one waits and takes what the other made. Gone from the registry, it is built anew."""
    command = "echo building >&2; head -c 9 /dev/urandom | od > made"
    made: list[Artifact] = []

    async def build() -> None:
        made.append(await yard.by_command(command))

    async with anyio.create_task_group() as group:
        group.start_soon(build)
        group.start_soon(build)
    assert made[0] == made[1]
    assert yard.lines.count("building") == 1
    assert yard.lines.count("waiting for another process that builds this release") == 1

    assert await yard.artifacts.available(made[0])
    await yard.artifacts.remove(made[0])
    assert not await yard.artifacts.available(made[0])
    assert (await yard.by_command(command)).digest != made[0].digest


async def test_a_build_that_fails_says_its_last_lines_and_leaves_nothing_but_its_log(
    yard: Yard, buildah: list[str]
) -> None:
    before = stored(buildah)
    with pytest.raises(BuildFailed) as caught:
        await yard.by_command("echo one\nfalse\necho never")
    assert "| one" in caught.value.detail
    (log,) = (yard.root / ".tidegate" / "logs").glob("app-*-image.log")
    assert "one" in log.read_text().splitlines()
    assert str(log) in caught.value.hint
    assert "never" not in yard.lines
    assert yard.left() == []
    assert stored(buildah) <= before | {yard.base.rpartition("@")[2]}


async def test_an_interrupted_build_leaves_neither_processes_nor_containers(yard: Yard, buildah: list[str]) -> None:
    def line(text: str) -> None:
        if text == "begun":
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        await yard.by_command("echo begun; sleep 4321 & sleep 4321", on_line=line)
    assert group.cancel_scope.cancelled_caught
    assert yard.left() == []
    assert containers(buildah) == ""
    assert not living("4321")


def living(argument: str) -> list[int]:
    """Processes that were called with it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone, or only its exit status is left
            if argument in process.cmdline():
                found.append(process.pid)
    return found


def containers(buildah: list[str]) -> str:
    listed = subprocess.run([*buildah, "containers", "--quiet"], check=True, capture_output=True, text=True)
    return listed.stdout


def stored(buildah: list[str]) -> set[str]:
    """Digests of the images that lie in the storage of these tests."""
    listed = subprocess.run([*buildah, "images", "--json"], check=True, capture_output=True, text=True)
    return {each["digest"] for each in json.loads(listed.stdout)}


async def test_promotion_copies_by_digest_into_the_registry_of_the_next_place(
    yard: Yard, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same bytes: nothing is built, and it lasts when the first registry has lost it."""
    artifact = await yard.by_command("echo 1 > made")
    with another_registry(tmp_path_factory.mktemp("registry")) as registry:
        next_place = yard.for_registry(f"{registry}/prod")
        assert await next_place.available(artifact)
        assert next_place.choose([artifact]) == artifact
        wanted = f"{registry}/prod/app@{artifact.digest}"
        assert await next_place.reference(artifact, "app") == wanted
        await yard.artifacts.remove(artifact)
        assert await next_place.reference(artifact, "app") == wanted
        assert await next_place.available(artifact)
        await next_place.aclose()
    with pytest.raises(ArtifactDamaged) as caught:
        await yard.artifacts.reference(artifact, "app")
    assert "tidegate release app" in caught.value.hint


async def test_an_image_that_somebody_else_made_is_used_and_never_removed(yard: Yard, cluster: Cluster) -> None:
    """Also where it lies in the registry of the place itself."""
    ready = ImageRecipe(ready=cluster.images["gateway"])
    artifact = await yard.build(ready)
    assert artifact.location == cluster.images["gateway"]
    reference = await yard.artifacts.reference(artifact, "app")
    assert reference == f"{yard.registry}/app@{artifact.digest}"

    whole = yard.for_registry(cluster.registry)
    await whole.present()
    assert whole.reaches(artifact)
    await whole.remove(artifact)
    assert await whole.available(artifact)
    await whole.aclose()
    with pytest.raises(BuildFailed, match="There is no"):
        await yard.build(ImageRecipe(ready=f"{cluster.registry}/nowhere@sha256:{'0' * 64}"))
