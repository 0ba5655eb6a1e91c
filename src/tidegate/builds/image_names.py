"""Names of images, and the registry that a place has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tidegate.errors import ReleaseError

DOCKER_HUB = "docker.io"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]+)?")
_PART = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class ImageName:
    """`host` (with its port, if any) of a registry and a `repository` in it."""

    host: str
    repository: str

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}"

    def at(self, digest: str) -> str:
        """`HOST/REPOSITORY@sha256:…`."""
        return f"{self}@{digest}"


@dataclass(frozen=True, slots=True)
class Announced:
    """A registry under both its addresses, each `HOST[:PORT][/PATH]`: `push` is for this machine, `pull` for the nodes
    of the cluster."""

    push: str
    pull: str


def registry_at(address: str) -> Announced:
    """One that everybody reaches by the same address."""
    return Announced(address, address)


def announced(data: str) -> Announced:
    """What a cluster says of its registry: `localRegistryHosting.v1` of the ConfigMap `local-registry-hosting` in the
    namespace `kube-public` (KEP-1755), YAML. Raises `ReleaseError`."""
    try:
        found: Any = yaml.safe_load(data)
    except yaml.YAMLError:
        found = None
    host = found.get("host") if isinstance(found, dict) else None
    if not isinstance(host, str) or not host:
        raise ReleaseError(
            "cannot use the registry of the cluster",
            "kube-public/local-registry-hosting does not say `host:`.",
            hint="Write `registry:` into the target of the environment (tidegate.yaml).",
        )
    runtime = found.get("hostFromContainerRuntime")
    return Announced(host, runtime if isinstance(runtime, str) and runtime else host)


def image_below(registry: str, name: str) -> ImageName:
    """The image `name` in a registry, `HOST[:PORT][/PATH]`. Raises `ReleaseError`."""
    host, _, path = registry.strip("/").partition("/")
    parts = [*path.split("/"), name] if path else [name]
    if not _is_host(host) or not all(_PART.fullmatch(part) for part in parts):
        raise ReleaseError(
            "cannot use the registry",
            f"{registry} is no address of a registry.",
            hint="Write HOST[:PORT][/PATH], such as registry.acme.example/shop: without https://, in lower case.",
        )
    return ImageName(host, "/".join(parts))


def pinned_image(text: str) -> tuple[ImageName, str]:
    """Name and digest of `[HOST/]REPOSITORY[:TAG]@sha256:…`; the tag says nothing. Raises `ReleaseError`."""
    name, _, digest = text.partition("@")
    if not _DIGEST.fullmatch(digest):
        raise ReleaseError(
            "cannot use an image",
            f"{text} is not pinned by its digest.",
            hint="Write NAME@sha256:…; whoever pushes a tag again would change what is released.",
        )
    return image_name(name), digest


def image_name(text: str) -> ImageName:
    """Of `[HOST/]REPOSITORY[:TAG][@DIGEST]`; without a host it is Docker Hub's. Raises `ReleaseError`."""
    name = text.partition("@")[0]
    first, slash, rest = name.partition("/")
    host, path = (first, rest) if slash and _is_host(first) else (DOCKER_HUB, name)
    path = path.partition(":")[0]
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise ReleaseError("cannot use an image", f"{text} is no name of an image.", hint="Write HOST/NAME@sha256:…")
    return ImageName(host, path)


def _is_host(text: str) -> bool:
    """As all tools tell a host from the first folder of a repository."""
    return bool(_HOST.fullmatch(text)) and ("." in text or ":" in text or text == "localhost")
