"""A project whose environment is a namespace of the cluster for tests, and plain `kubectl` beside it.

The services are those of `bench.service`, as an argument of Python in an image that has nothing else; so no image is
built, and none differs between releases.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from scripts.cluster.layout import cache_folder
from tests.kubernetes.cluster import Absent, Cluster, find

from bench.project import PATIENCE, Failed, Project, project
from bench.table import Row

ENVIRONMENT = "stage"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BUSY = 30  # percent of the machine
OURS = "app.kubernetes.io/managed-by=tidegate"
PROGRAM = Path(__file__).with_name("service.py")


@dataclass(frozen=True)
class Service:
    """It asks only the first of its `needs`."""

    name: str
    needs: Sequence[str] = ()
    exposed: bool = False


@dataclass
class Shop:
    """A project with one environment on the cluster."""

    made: Project
    cluster: Cluster
    namespace: str

    def write(
        self, services: Sequence[Service], *, release: Mapping[str, str] | str, replicas: int = 1, observe: int = 0
    ) -> None:
        """Manifests; `release` is what all services tell, or each of them."""
        target = (
            f"{{kind: kubernetes, context: {self.cluster.context}, namespace: {self.namespace}, "
            f"proxy: '{self.cluster.images['gateway']}'}}"
        )
        environments = f"environments:\n  {ENVIRONMENT}: {{target: {target}, observe: {observe}s}}\n"
        files = {"tidegate.yaml": f"organization: bench\nteams: {{all: {{}}}}\n{environments}"}
        for each in services:
            said = release if isinstance(release, str) else release[each.name]
            argument = f" {each.needs[0].upper().replace('-', '_')}_URL" if each.needs else ""
            run = f"export BENCH_RELEASE={said}; exec python3 -I -S -c {shlex.quote(PROGRAM.read_text())}{argument}"
            manifest = {
                "name": each.name,
                "team": "all",
                "image": self.cluster.images["python"],
                "run": run,
                "replicas": replicas,
                "health": {"http": "/healthz", "interval": "1s"},
                "needs": list(each.needs),
                "expose": each.exposed,
                "kubernetes": {"resources": {"requests": {"cpu": "5m", "memory": "32Mi"}}},  # all of them at once fit
                "drain": "1s",
                "grace": "2s",
            }
            files[f"services/{each.name}/service.yaml"] = yaml.safe_dump(manifest, sort_keys=False)
        self.made.write(files)
        self.made.commit()

    def up(self, *, fails: bool = False) -> float:
        """Seconds that the command took."""
        return self.made.tidegate("up", ENVIRONMENT, "--yes", fails=fails)

    def down(self) -> None:
        """Nothing is left of the environment."""
        self.made.tidegate("down", ENVIRONMENT, "--yes")
        self.gone()

    def url(self, component: str) -> str:
        """Of an exposed service, as people outside of the cluster reach it."""
        return str(self.made.status()[ENVIRONMENT, component]["url"])

    def rendered(self, name: str) -> list[dict[str, Any]]:
        """What `up` would make of the checkout, the namespace first."""
        folder = self.made.root.parent / name
        self.made.tidegate("render", ENVIRONMENT, "--out", str(folder))
        found = [yaml.load(file.read_text(), _Loader) for file in sorted(folder.glob("*.yaml"))]
        return sorted(found, key=lambda each: str(each["kind"]) != "Namespace")

    def render(self, name: str) -> Path:
        """The same as one file for `kubectl apply`."""
        whole = self.made.root.parent / f"{name}.yaml"
        whole.write_text(yaml.safe_dump_all(self.rendered(name)))
        return whole

    def kubectl(self, *arguments: str) -> str:
        """What it prints. Raises `Failed`."""
        done = subprocess.run(
            [kubectl_program(), "--kubeconfig", self.cluster.kubeconfig, "--context", self.cluster.context, *arguments],
            env={**os.environ, "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise Failed(f"`kubectl {' '.join(arguments)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def rolled_out(self) -> None:
        """Wait, as people do who have nothing but kubectl."""
        self.kubectl("-n", self.namespace, "rollout", "status", "deployment", "-l", OURS, "--timeout=240s")

    def gone(self) -> None:
        """Delete the namespace, and wait until nothing is left of it."""
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait", "--timeout=120s")


def kubectl_program() -> str:
    """The one that belongs to the cluster, else whichever is there. Raises `Failed`."""
    path = f"{cache_folder() / 'bin'}:{os.environ.get('PATH', '')}"
    found = shutil.which("kubectl", path=path)
    if found is None:
        raise Failed("kubectl is not installed")
    return found


@contextmanager
def shop(cluster: Cluster) -> Iterator[Shop]:
    """One that has the cluster's namespace for itself; both are gone at the end."""
    with project() as made:
        made.env["KUBECONFIG"] = str(cluster.kubeconfig)
        found = Shop(made, cluster, f"bench-{uuid.uuid4().hex[:8]}")
        try:
            yield found
        finally:
            found.kubectl("delete", "namespace", found.namespace, "--ignore-not-found", "--wait=false")


def cluster_or_row(what: str, bound: float | None = None) -> Cluster | Row:
    """The cluster, or the row that says why nothing could be measured."""
    try:
        return find()
    except Absent as absent:
        return Row(what, None, "", str(absent), bound)


def until_quiet(seconds: float = 20) -> None:
    """What was deleted before keeps the machine busy for a while; it shall not be measured with what comes next."""
    deadline = time.monotonic() + seconds
    while psutil.cpu_percent(interval=1) > BUSY and time.monotonic() < deadline:
        pass
