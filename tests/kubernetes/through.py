"""How tests get at what runs in the cluster: as users inside it do, and as people with rights from outside."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio import to_thread
from lightkube.codecs import from_dict
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod

from tests.kubernetes.worlds import World
from tidegate.drivers.kubernetes.names import component_name, data_name, resource_name
from tidegate.errors import TargetError


async def json_of(world: World, component: str, path: str) -> Any:
    """What the entry of a component answers, asked through the API server's proxy to the Service."""
    where = f"/api/v1/namespaces/{world.namespace}/services/{component_name(component)}:80/proxy{path}"
    return await world.api.raw("GET", where)


@asynccontextmanager
async def inside(world: World, component: str) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Something that calls the entry of a component all the time, whatever it answers."""
    where = f"/api/v1/namespaces/{world.namespace}/services/{component_name(component)}:80/proxy/"
    api = world.connected(patience=0)

    async def call() -> None:
        while True:
            with suppress(TargetError):
                await api.raw("GET", where)
            await anyio.sleep(0.02)

    try:
        yield call
    finally:
        await api.close()


async def shelf(world: World, owner: str, command: str) -> str | None:
    """What a command prints in a pod that has the data of a component or resource at /data; None if there are none."""
    return await to_thread.run_sync(_shelf, world, owner, command)


def _shelf(world: World, owner: str, command: str) -> str | None:
    with world.cluster.client(world.namespace) as client:
        claims = {each.metadata.name for each in client.list(PersistentVolumeClaim) if each.metadata}
        found = [name for name in (data_name(owner), resource_name(owner)) if name in claims]
        if not found:
            return None
        container = {
            "name": "shelf",
            "image": world.cluster.images["python"],
            "command": ["sh", "-c", command],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": found[0]}}],
        }
        name = f"shelf-{time.monotonic_ns()}"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": world.namespace}}
        client.create(from_dict({**pod, "spec": spec}))
        try:
            deadline = time.monotonic() + 60
            while (phase := _phase(client.get(Pod, name))) not in {"Succeeded", "Failed"}:
                assert time.monotonic() < deadline, f"{name} is {phase}"
                time.sleep(0.1)
            said = "".join(client.log(name))
            assert phase == "Succeeded", said
            return said.rstrip("\n")
        finally:
            client.delete(Pod, name, grace_period=0)


def _phase(pod: Pod) -> str:
    return str(pod.status.phase if pod.status else "")
