"""An environment on the cluster with releases that run: programs of the tests in an image with nothing but Python."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import Cluster
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.target import KubernetesTarget, Location
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.errors import NotInStore
from tidegate.model.component import Artifact, Health, HealthKind, Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.pins import Resource

PROGRAM = Path(__file__).parent.parent / "local" / "service.py"
QUICK = Health(HealthKind.HTTP, "/healthz", interval=1000, timeout=1000, start_timeout=30_000, failures=2)
HASTY = Health(HealthKind.HTTP, "/healthz", interval=1000, timeout=1000, start_timeout=3_000, failures=1)
ALIVE = Health(HealthKind.ALIVE, interval=1000)


def python(file: Path, *arguments: str) -> str:
    """A command that runs a file of the tests: its text is part of it, so that any image with Python will do."""
    return f"exec python3 -I -S -c {shlex.quote(file.read_text())} {shlex.join(arguments)}"


class World:
    """Releases, images and blobs in memory (`ReleaseSource`, `Images`); cluster, pods and traffic are real."""

    environment = "dev"

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        *,
        kubeconfig: Path | None = None,
        context: str = "",
        proxied: bool = True,
    ) -> None:
        self.cluster = cluster
        self.context = context or cluster.context
        self.namespace = namespace
        self.kubeconfig = kubeconfig or cluster.kubeconfig
        self.proxy = cluster.images["gateway"] if proxied else ""
        self.known: dict[str, Release] = {}
        self.blobs: dict[str, bytes] = {}
        self.secrets = EnvironmentAndFileSecrets(Path("/nowhere"), {"TOKEN": "s3cr3t-value"})
        self.api = self.connected()
        self.target = self.another_target()

    def connected(self, *, patience: float = 5.0) -> Api:
        """A client of its own."""
        return Api.connect(self.context, kubeconfig=self.kubeconfig, patience=patience)

    def another_target(self, *, api: Api | None = None, store: str = "store-1") -> KubernetesTarget:
        """As another command has it: on the same store unless another is named."""

        async def identity() -> str:
            return store

        location = Location("acme", lambda _: self.namespace, self.proxy)
        return KubernetesTarget(
            api or self.api, location, releases=self, images=self, secrets=self.secrets, store=identity
        )

    def add(
        self,
        component: str,
        version: str = "1",
        *,
        run: str = "",
        health: Health = QUICK,
        kind: Kind = Kind.SERVICE,
        **runtime: Any,
    ) -> Release:
        """A release; its program answers as `tests/local/service.py` says."""
        how = {"run": run or python(PROGRAM), "health": health, "drain": 1000, "grace": 3000, **runtime}
        name = digest("release", [component, version])
        self.known[name] = Release(name, component, kind, "shop", Runtime(**how))
        return self.known[name]

    def database(self, version: str, *, behaviour: str, data: bool, health: Health) -> Resource:
        """What stands for a database: it listens, and its address is none that HTTP is spoken at."""
        run = f"export TIDEGATE_COMPONENT=db TIDEGATE_RELEASE={version} LISTEN=0.0.0.0; {python(PROGRAM, behaviour)}"
        url = f"db://$HOST:$PORT/{version}"
        return Resource(run, url, health, data, grace=3000, image=self.cluster.images["python"])

    async def release(self, digest: str) -> Release:
        try:
            return self.known[digest]
        except KeyError:
            raise NotInStore("cannot find the release", digest) from None

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        image = self.cluster.images["python"]
        return [Artifact(image.partition("@")[2], release, "image", "linux/amd64", image)]

    async def blob(self, digest: str) -> bytes:
        return self.blobs[digest]

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
        raise AssertionError("the target removes no artifact")

    async def present(self) -> Mapping[str, Artifact]:
        return {}

    async def use(self, releases: Collection[str]) -> None:
        raise AssertionError("the target says no uses")

    def pruning(self) -> AbstractAsyncContextManager[Collection[str]]:
        raise AssertionError("the target prunes nothing")


@asynccontextmanager
async def world(cluster: Cluster, namespace: str, **how: Any) -> AsyncIterator[World]:
    """One in a namespace that the test owns."""
    made = World(cluster, namespace, **how)
    try:
        yield made
    finally:
        await made.target.close()
