"""The cluster that tests use: the user's, by TIDEGATE_TEST_CONTEXT, or the one that `make cluster` started.

Independent of the driver, so that it can tell what the driver really did.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.resources.core_v1 import ConfigMap, Node
from scripts.cluster.layout import DEFAULT_NAME, running

SECONDS = 15.0  # for one request to a cluster that lives


@dataclass(frozen=True)
class Cluster:
    """Where it is, and what it has for tests.

    `registry` is "host:port[/path]", reached over plain HTTP by this machine and by the nodes; `images` are references
    by digest: `base` (Debian with python3 and sh; a user must be chosen), `gateway` (Envoy as `envoy`, user 65532).
    `node_ip` answers at the NodePorts of Services.
    """

    kubeconfig: Path
    context: str
    registry: str
    node_ip: str
    images: Mapping[str, str]

    def client(self, namespace: str = "default") -> Client:
        """As administrator; close it, or use it as a context."""
        config = KubeConfig.from_file(self.kubeconfig).get(context_name=self.context)
        return Client(config=config, namespace=namespace, timeout=httpx2.Timeout(SECONDS), trust_env=False)


class Absent(Exception):
    """There is no cluster, and why."""


def find() -> Cluster:
    """The cluster for tests. Raises `Absent`."""
    context = os.environ.get("TIDEGATE_TEST_CONTEXT")
    return _users(context) if context else _ours()


def must_be_there() -> bool:
    """Whether a missing cluster is a failure: in CI, where one could have been started."""
    return bool(os.environ.get("CI")) and os.geteuid() == 0 and shutil.which("go") is not None


def _ours() -> Cluster:
    name = os.environ.get("TIDEGATE_TEST_CLUSTER", DEFAULT_NAME)
    found = running(name)
    if found is None:
        raise Absent(f"no cluster {name} runs on this machine; start one: make cluster")
    cluster = Cluster(Path(found["kubeconfig"]), found["context"], found["registry"], found["node_ip"], found["images"])
    if not os.access(cluster.kubeconfig, os.R_OK):
        raise Absent(f"{cluster.kubeconfig} is root's; run the tests as root, or set TIDEGATE_TEST_CONTEXT")
    try:
        with cluster.client() as client:
            client.get(ConfigMap, "local-registry-hosting", namespace="kube-public")
    except (ApiError, httpx2.HTTPError) as error:
        raise Absent(f"the cluster {name} does not answer ({error}); start it again: make cluster") from error
    return cluster


def _users(context: str) -> Cluster:
    """A cluster that is the user's own has to say where its registry is, and by TIDEGATE_TEST_IMAGES what is in it."""
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    images = os.environ.get("TIDEGATE_TEST_IMAGES")
    if not images:
        raise Absent("TIDEGATE_TEST_CONTEXT is set; set TIDEGATE_TEST_IMAGES too: docs/kubernetes-test-cluster.md")
    nowhere = Cluster(path, context, "", "", json.loads(Path(images).read_text()))
    with nowhere.client() as client:
        nodes = list(client.list(Node))
        registry = os.environ.get("TIDEGATE_TEST_REGISTRY") or _local_registry(client)
    addresses = [
        address.address
        for node in nodes
        for address in (node.status.addresses or [] if node.status else [])
        if address.type == "InternalIP"
    ]
    return Cluster(path, context, registry, addresses[0], nowhere.images)


def _local_registry(client: Client) -> str:
    """By the convention of local clusters (KEP-1755)."""
    found = client.get(ConfigMap, "local-registry-hosting", namespace="kube-public")
    return str(yaml.safe_load((found.data or {})["localRegistryHosting.v1"])["host"])
