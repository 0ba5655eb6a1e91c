"""What scenarios share: images to build on, and checkouts with environments on the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster, must_be_there
from tests.kubernetes.e2e import bases
from tests.kubernetes.e2e.shop import Shop

EXAMPLE = Path(__file__).parents[3] / "examples" / "storefront"
LEFT_OUT = shutil.ignore_patterns(".venv", "__pycache__", ".pytest_cache", ".tidegate", "catalogue.sqlite", "tests")


@pytest.fixture(scope="session")
def buildah() -> Iterator[list[str]]:
    """With a storage of its own, which is gone afterwards; without kinds that leave mounts."""
    program = shutil.which("buildah")
    if program is None:
        if must_be_there():
            pytest.fail("buildah is not installed")
        pytest.skip("buildah is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tg-buildah-", dir="/tmp"))
    command = [program, "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    yield command
    subprocess.run([*command, "rmi", "--all", "--force"], capture_output=True, timeout=60, check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def base_with_uv(cluster: Cluster, buildah: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return bases.reference(bases.with_uv(), cluster, buildah, tmp_path_factory.mktemp("uv"))


@pytest.fixture(scope="session")
def base_with_postgresql(cluster: Cluster, buildah: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return bases.reference(bases.with_postgresql(), cluster, buildah, tmp_path_factory.mktemp("postgresql"))


@pytest.fixture(scope="module")
def made(cluster: Cluster, buildah: list[str]) -> Iterator[Callable[[], Shop]]:
    """Checkouts with organizations that nobody else has. Afterwards nothing of them is left, here or in the cluster."""
    shops: list[Shop] = []

    def make() -> Shop:
        folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
        (folder / "shop").mkdir()
        env = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "TIDEGATE_STATE_DIR": str(folder / "state"),
            "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
            "TIDEGATE_IMAGE_TOOL": "buildah",
            "TIDEGATE_BUILDAH_FLAGS": " ".join(buildah[1:]),
            "COLUMNS": "120",
            "NO_COLOR": "1",
        }
        shops.append(Shop(cluster, folder, f"shop-{uuid.uuid4().hex[:8]}", env))
        return shops[-1]

    yield make
    for shop in shops:
        shop.end()
        shutil.rmtree(shop.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def storefront(made: Callable[[], Shop], cluster: Cluster, base_with_uv: str) -> Shop:
    """The example, not yet up: `dev` on this machine, `stage` and `prod` in two namespaces of the cluster."""
    shop = made()
    shutil.rmtree(shop.root)
    shutil.copytree(EXAMPLE, shop.root, ignore=LEFT_OUT)
    target = f"target: {{kind: kubernetes, context: {cluster.context}, proxy: '{cluster.images['gateway']}'}}"
    manifest = shop.root / "tidegate.yaml"
    text = manifest.read_text()
    for old, new in (
        ("organization: acme\n", f"organization: {shop.organization}\n"),
        ("dev:   {", "dev:   {observe: 0s, "),
        ("stage: {", f"stage: {{observe: 4s, {target}, "),
        ("prod:  {", f"prod:  {{observe: 0s, {target}, "),
    ):
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(f"{text}\nimages: {{base: '{base_with_uv}'}}\n")
    for name in ("backend", "frontend"):
        shop.edit(f"services/{name}/service.yaml", "replicas: 3", "replicas: {default: 1, stage: 2}\ndrain: 2s")
    return shop
