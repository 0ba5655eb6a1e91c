"""Images that releases of these tests are built on. Made once for each cluster, and found by whoever comes later."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests.kubernetes.cluster import Cluster

MINUTES = 60.0
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
WITH_UV = "COPY uv /usr/local/bin/uv"
# A PostgreSQL refuses root, and users that have no name.
WITH_POSTGRESQL = (
    "RUN apt-get update -q && apt-get install -qy --no-install-recommends postgresql-15 >/dev/null"
    " && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/locale && useradd --uid 65532 shop\nUSER 65532:65532"
)


@dataclass(frozen=True)
class Base:
    """What stands below the cluster's `base` in a Dockerfile, and the files that it copies."""

    name: str
    lines: str
    files: Mapping[str, Path]


def with_uv() -> Base:
    """Debian with Python and uv."""
    beside = Path(sys.executable).with_name("uv")
    return Base("e2e-uv", WITH_UV, {"uv": beside if beside.exists() else Path(shutil.which("uv") or beside)})


def with_postgresql() -> Base:
    """Debian with a PostgreSQL, ready to run."""
    return Base("e2e-postgresql", WITH_POSTGRESQL, {})


def reference(base: Base, cluster: Cluster, buildah: Sequence[str], folder: Path) -> str:
    """The image by digest; made in the empty `folder` if the cluster's registry has none of the same contents."""
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in base.files.values()]
    tag = hashlib.sha256(json.dumps([cluster.images["base"], base.lines, contents]).encode()).hexdigest()[:16]
    found = _digest(cluster.registry, base.name, tag)
    if not found:
        for name, file in base.files.items():
            shutil.copyfile(file, folder / name)
            (folder / name).chmod(0o755)
        (folder / "Dockerfile").write_text(f"FROM {cluster.images['base']}\n{base.lines}\n")
        local = f"{cluster.registry}/{base.name}:{tag}"
        # In one layer: where its base has no history buildah cannot build upon what it made itself.
        flags = ["--squash", "--isolation", "chroot", "--network", "host", "--tls-verify=false"]
        _run(*buildah, "build", "-q", *flags, "--tag", local, str(folder))
        _run(*buildah, "push", "-q", "--tls-verify=false", local, f"docker://{local}")
        _run(*buildah, "rmi", "--all", "--force")
        found = _digest(cluster.registry, base.name, tag)
    return f"{cluster.registry}/{base.name}@{found}"


def _digest(registry: str, name: str, tag: str) -> str:
    host, _, path = registry.partition("/")
    url = f"http://{host}/v2/{path + '/' if path else ''}{name}/manifests/{tag}"
    try:
        asked = Request(url, method="HEAD", headers={"Accept": MANIFESTS})
        with build_opener(ProxyHandler({})).open(asked, timeout=10) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except HTTPError as error:
        if error.code == 404:
            return ""
        raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * MINUTES, check=False)
    assert done.returncode == 0, done.stderr
