"""Parts of the driver in a namespace of their own, over releases that a test makes up."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.drivers.kubernetes.area import Area
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    JOB,
    POD,
    SERVICE,
)
from tidegate.drivers.kubernetes.mirror import Mirror
from tidegate.drivers.kubernetes.sources import Sources
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.model.cluster import ClusterShape, Patch
from tidegate.model.component import Artifact, Hook, Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.pins import Pin, Shape, Value
from tidegate.ports.target import Epoch

ENVIRONMENT = "stage"
# The image of the tests has root as its user.
SOMEBODY = json.dumps({"spec": {"template": {"spec": {"securityContext": {"runAsUser": 65532}}}}})
CLUSTER = ClusterShape(patches=(Patch("Deployment", SOMEBODY), Patch("Job", SOMEBODY)))


@dataclass
class Releases:
    """Looked up by digest; every release has the same image, unless it has one of its own in `images`."""

    image: str
    images: dict[str, str] = field(default_factory=dict)
    known: dict[str, Release] = field(default_factory=dict)

    def make(self, component: str, version: str, runtime: Runtime, *, kind: Kind = Kind.SERVICE) -> Release:
        """A release that the target can look up."""
        name = digest("release", [component, version])
        self.known[name] = Release(name, component, kind, "team", runtime)
        return self.known[name]

    async def release(self, digest: str) -> Release:
        return self.known[digest]

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        return [Artifact("sha256:0", release, "image", "linux/amd64", self.images.get(release, self.image))]

    async def blob(self, digest: str) -> bytes:
        raise NotImplementedError(digest)


class ReadyImages:
    """Every image is where its artifact says."""

    shares = True

    def choose(self, artifacts: Sequence[Artifact]) -> Artifact | None:
        return artifacts[0]

    async def reference(self, artifact: Artifact, component: str) -> str:
        return artifact.location

    def reaches(self, artifact: Artifact) -> bool:
        return True

    async def available(self, artifact: Artifact) -> bool:
        return True

    async def remove(self, artifact: Artifact) -> None:
        raise NotImplementedError

    async def present(self) -> Mapping[str, Artifact]:
        return {}

    async def use(self, releases: Collection[str]) -> None:
        raise NotImplementedError

    def pruning(self) -> AbstractAsyncContextManager[Collection[str]]:
        raise NotImplementedError


@dataclass
class Place:
    """One environment in one namespace."""

    api: Api
    area: Area
    claims: Claims
    sources: Sources
    releases: Releases

    async def epoch(self, number: int = 1, *components: str) -> Epoch:
        """Taken."""
        epoch = Epoch(ENVIRONMENT, number, components or ("backend",), f"plan-{number}", f"holder-{number}")
        await self.claims.take(epoch)
        return epoch

    async def close(self) -> None:
        self.sources.close()
        await self.area.mirror.close()
        await self.api.close()


def place(context: str, kubeconfig: Path, namespace: str, image: str) -> Place:
    """As its driver puts it together; close it."""
    api = Api.connect(context, kubeconfig=kubeconfig)
    kinds = (DEPLOYMENT, POD, SERVICE, ENDPOINT_SLICE, JOB, CONFIG_MAP)
    area = Area(api, ENVIRONMENT, namespace, Mirror(api, namespace, kinds))
    releases = Releases(image)
    sources = Sources(releases, ReadyImages(), EnvironmentAndFileSecrets(Path("/"), {"TOKEN": "s3cret"}), "acme")

    async def store() -> str:
        return "store-of-this-test"

    async def nothing() -> None:
        """The namespace is there."""

    return Place(api, area, Claims(area, store, nothing), sources, releases)


def pin(release: Release, *, env: tuple[tuple[str, Value], ...] = (), replicas: int = 1) -> Pin:
    """A pin whose pods run as somebody."""
    return Pin(release.digest, "", Shape(replicas=replicas, env=env, cluster=CLUSTER))


def migration(run: str, *, undo: str | None = None, retry: bool = False, timeout: int = 60_000) -> Runtime:
    """A runtime that has a `before`."""
    return Runtime(run="sleep infinity", before=Hook(run, undo=undo, retry=retry, timeout=timeout), grace=1000)
