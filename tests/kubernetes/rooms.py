"""Where programs of a test in the cluster, and the test itself, leave notes for each other."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio import to_thread
from lightkube import ApiError, Client
from lightkube.codecs import from_dict
from lightkube.resources.core_v1 import Pod, Service

from tests.kubernetes.cluster import Cluster

NAME = "tidegate-notes"
SOURCE = Path(__file__).with_name("notes.py")
PORT = 8080


class Room:
    """Notes by name; `inside` is its URL for programs in the cluster."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster = cluster
        self._port = port
        self._name = uuid.uuid4().hex
        self.inside = f"http://{NAME}.{NAME}.svc.cluster.local:{PORT}/{self._name}"

    async def notes(self, name: str) -> list[str]:
        """In their order."""
        return (await to_thread.run_sync(self._ask, "GET", name, "")).split()

    async def note(self, name: str, text: str) -> None:
        """Add one."""
        await to_thread.run_sync(self._ask, "POST", name, text)

    async def forget(self, name: str) -> None:
        """All of them."""
        await to_thread.run_sync(self._ask, "DELETE", name, "")

    async def kill(self, namespace: str, selector: str) -> None:
        """Pods with these labels are gone at once, and nobody sees how they end."""

        key, _, value = selector.partition("=")

        def delete() -> None:
            with self._cluster.client(namespace) as client:
                for pod in client.list(Pod, labels={key: value}):
                    with suppress(ApiError):
                        client.delete(Pod, str(pod.metadata and pod.metadata.name), grace_period=0)

        await to_thread.run_sync(delete)

    def _ask(self, method: str, name: str, text: str) -> str:
        connection = http.client.HTTPConnection(self._cluster.node_ip, self._port, timeout=10)
        try:
            connection.request(method, f"/{self._name}/{name}", text.encode())
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@asynccontextmanager
async def room(cluster: Cluster) -> AsyncIterator[Room]:
    """One of its own, at a server that all tests share."""
    yield Room(cluster, await to_thread.run_sync(_server, cluster))


def _server(cluster: Cluster) -> int:
    """The NodePort of the server, which is started if it does not run."""
    with cluster.client(NAME) as client:
        for each in _objects(cluster):
            with suppress(ApiError):  # another test was first
                client.create(from_dict(each))
        deadline = time.monotonic() + 60
        while not _runs(client):
            assert time.monotonic() < deadline, "the server for notes does not start"
            time.sleep(0.1)
        service = client.get(Service, NAME)
    assert service.spec
    assert service.spec.ports
    return int(service.spec.ports[0].nodePort or 0)


def _runs(client: Client) -> bool:
    pod = client.get(Pod, NAME)
    return any(each.type == "Ready" and each.status == "True" for each in (pod.status and pod.status.conditions) or [])


def _objects(cluster: Cluster) -> list[dict[str, object]]:
    container = {
        "name": "notes",
        "image": cluster.images["python"],
        "command": ["python3", "-c", SOURCE.read_text()],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    labels = {"app": NAME}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "namespace": NAME, "labels": labels},
            "spec": {"containers": [container], "enableServiceLinks": False},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": NAME},
            "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": PORT}]},
        },
    ]
