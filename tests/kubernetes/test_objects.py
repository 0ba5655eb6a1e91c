"""The objects that are made, on a real API server and as real pods."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import httpx
import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes_pure.groups import HTTP, Json, source
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, EVENT, JOB, POD, SERVICE
from tidegate.drivers.kubernetes.names import STATS_PORT
from tidegate.drivers.kubernetes.objects.environment import environment_objects
from tidegate.drivers.kubernetes.objects.group import group_objects, secret_object
from tidegate.drivers.kubernetes.objects.jobs import job_object
from tidegate.drivers.kubernetes.objects.proxy import STATS_PATH
from tidegate.drivers.kubernetes.objects.resources import resource_objects
from tidegate.drivers.kubernetes.objects.services import edge_object, entry_objects
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.drivers.kubernetes.observing import observed
from tidegate.drivers.kubernetes.patches import check
from tidegate.drivers.kubernetes.traffic import traffic_of
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure, Patch
from tidegate.model.component import Health, HealthKind, Kind
from tidegate.model.observed import Observed
from tidegate.model.pins import Resource, Secret, Value

pytestmark = pytest.mark.anyio
T = TypeVar("T")
LONG = 120.0
UID = 12345  # the images of the tests name no user
AS_USER = Patch("Deployment", f'{{"spec":{{"template":{{"spec":{{"securityContext":{{"runAsUser":{UID}}}}}}}}}}}')

# Says what it sees, on 127.0.0.1 only unless it is told otherwise.
SERVICE_PROGRAM = """
import http.server, json, os, pathlib, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        seen = {"env": dict(os.environ)}
        if self.path == "/see":
            seen["settings"] = pathlib.Path(os.environ["TIDEGATE_SETTINGS"]).read_text()
            seen["alias"] = socket.gethostbyname("sample-app-backend-service")
            seen["uid"] = os.getuid()
            for path in ("/tmp/x", "/var/cache/x", "/data/x", "/x"):
                try:
                    pathlib.Path(path).write_text("x")
                    seen[path] = True
                except OSError:
                    seen[path] = False
        body = json.dumps(seen).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(os.environ["PORT"])), Answer).serve_forever()
"""


def serving(address: str = "127.0.0.1") -> str:
    return f"exec python3 -c {shlex.quote(SERVICE_PROGRAM)} {address}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    connected = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    yield connected
    await connected.close()


async def apply(api: Api, objects: Iterable[Json | None], *, dry_run: bool = False) -> None:
    for each in objects:
        if each is not None:
            await api.apply(each, dry_run=dry_run)


async def look(api: Api, namespace: str, node: str = "") -> Observed:
    kinds = (DEPLOYMENT, POD, SERVICE, JOB)
    deployments, pods, services, jobs = [(await api.list(kind, namespace)).items for kind in kinds]
    return observed("stage", namespace, deployments, pods, services, jobs, node)


async def until(api: Api, namespace: str, when: Callable[[Observed], bool], node: str = "") -> Observed:
    async with asyncio.timeout(LONG):
        while True:
            seen = await look(api, namespace, node)
            if when(seen):
                return seen
            await asyncio.sleep(0.2)


def everything(cluster: Cluster, namespace: str) -> list[Json]:
    """One of each kind of object, and of each way to be checked and shown."""
    image, proxy = cluster.images["base"], cluster.images["gateway"]
    env: tuple[tuple[str, Value], ...] = (
        ("GREETING", "hi $(HOME) $$"),
        ("KEY", Secret("env:KEY")),
        ("THERE", Secret("kubernetes:vault/token")),
    )
    objects = environment_objects(namespace, "stage", "acme")
    long = "a-component-with-a-name-of-forty-letters"
    for of in (
        source("frontend", image=image, env=env, settings=b"{}", needs=("backend", long), replicas=2),
        source(long, image=image, port=80, health=Health(), needs=("frontend",)),
        source("worker", kind=Kind.WORKER, image=image, health=Health(HealthKind.ALIVE), drain=0, run=""),
        source("store", image=image, data=True, health=Health(HealthKind.COMMAND, "test -d $DATA")),
        source("many", image=image, cluster=ClusterShape(autoscale=Autoscale(2, 5), limits=())),
    ):
        known = replace(of, aliases=dict.fromkeys(of.edges, (Alias("old-name", 9000),)))
        addressed = replace(known, addresses={need: f"10.0.0.{place}" for place, need in enumerate(of.edges)})
        objects += [found] if (found := secret_object(namespace, of, {"KEY": "hush"})) else []
        objects += [edge_object(namespace, EdgeAddress(of.group, need), to) for need, to in of.edges.items()]
        for each in ("", proxy):
            objects += group_objects(namespace, addressed, proxy=each)
        objects.append(
            job_object(
                namespace, "a-run", of, "true", role="run", annotations={}, timeout_ms=1, needs={}, env={"A": "b"}
            )
        )
        for expose in (Exposure.NODE_PORT, Exposure.LOAD_BALANCER, Exposure.INGRESS):
            shape = ClusterShape(
                expose=expose, host="shop.acme.example", via="nginx", aliases=(Alias("old-name", 9000),)
            )
            pin = replace(of.pin, shape=replace(of.pin.shape, cluster=shape))
            objects += entry_objects(namespace, of.group.component, of.group, pin)
    objects += resource_objects(namespace, "stage", "orders-db", Resource("x", "x://$HOST", data=True, image=image))
    return objects


async def test_the_api_server_takes_every_object(api: Api, cluster: Cluster, namespace: str) -> None:
    """By its schema, and by all of its admission."""
    objects = everything(cluster, namespace)
    assert await check(api, objects) == []
    await apply(api, objects, dry_run=True)


async def test_a_mistaken_patch_is_told_before_anything_runs(api: Api, cluster: Cluster, namespace: str) -> None:
    """With the API server's own schema."""
    patch = Patch("Deployment", json.dumps({"spec": {"template": {"spec": {"tolerations": [{"keyy": "gpu"}]}}}}))
    objects = group_objects(namespace, source(cluster=ClusterShape(patches=(patch,))), proxy="")
    assert await check(api, objects) == [
        "Deployment frontend-r44: there is no field spec.template.spec.tolerations[0].keyy; key was probably meant"
    ]


async def test_a_service_has_all_that_it_was_promised(api: Api, cluster: Cluster, namespace: str) -> None:
    """It listens on 127.0.0.1 only, and people reach it; it is not root and may write where that was said."""
    of = replace(
        source(
            "frontend",
            image=cluster.images["base"],
            run=serving(),
            settings=b'{"title": "shop"}',
            env=(("GREETING", "hi $(HOME) $$"), ("KEY", Secret("env:KEY"))),
            data=True,
            health=HTTP,
            drain=0,
            cluster=ClusterShape(expose=Exposure.NODE_PORT, writable=("/var/cache",), patches=(AS_USER,)),
        ),
        aliases={"backend": (Alias("sample-app-backend-service"),)},
        addresses={"backend": "10.9.8.7"},
    )
    await apply(api, [secret_object(namespace, of, {"KEY": "s3cret"})])
    await apply(api, group_objects(namespace, of, proxy=cluster.images["gateway"]))
    await apply(api, entry_objects(namespace, "frontend", of.group, of.pin))
    seen = await until(api, namespace, lambda seen: seen.groups[of.group].healthy == 1, cluster.node_ip)
    assert seen.entries == {"frontend": of.group}
    assert seen.groups[of.group].instances[0].address.endswith(":15080")
    async with httpx.AsyncClient(trust_env=False) as people:
        told = (await answer(people, f"{seen.urls['frontend']}/see")).json()
    assert told["settings"] == '{"title": "shop"}'
    assert told["uid"] == UID
    assert told["alias"] == "10.9.8.7"
    assert (told["/tmp/x"], told["/var/cache/x"], told["/data/x"], told["/x"]) == (True, True, True, False)
    env = told["env"]
    assert (env["GREETING"], env["KEY"], env["DATA"], env["PORT"]) == ("hi $(HOME) $$", "s3cret", "/data", "8080")
    assert not [name for name in env if name.startswith("KUBERNETES") and "_PORT_" in name and "FRONTEND" in name]
    pod = env["TIDEGATE_INSTANCE"]
    traffic = traffic_of(await api.pod_request(namespace, pod, STATS_PORT, "GET", STATS_PATH))
    assert (traffic.answers, traffic.errors, traffic.active) == (1, 0, 0)


async def test_every_way_to_be_healthy_is_seen(api: Api, cluster: Cluster, namespace: str) -> None:
    """With and without a proxy; also on a port that only root used to have."""
    image, proxy = cluster.images["base"], cluster.images["gateway"]
    shape = ClusterShape(patches=(AS_USER,))

    def of(
        name: str, health: Health, *, kind: Kind = Kind.SERVICE, port: int | None = None, run: str = ""
    ) -> GroupSource:
        command = run or serving()
        return source(
            name, kind=kind, image=image, run=command, health=health, drain=0, cluster=shape, port=port, settings=b""
        )

    command = Health(HealthKind.COMMAND, "test -f /etc/tidegate/settings.json")
    alive = Health(HealthKind.ALIVE, interval=1000)
    groups = [
        (of("tcp", Health()), proxy),
        (of("tcp-bare", Health(), port=80, run=serving("0.0.0.0")), ""),
        (of("http-bare", HTTP, run=serving("0.0.0.0")), ""),
        (of("command", command), proxy),
        (of("worker", alive, kind=Kind.WORKER, run="exec sleep 1000"), proxy),
    ]
    for group, image_of_proxy in groups:
        await apply(api, group_objects(namespace, group, proxy=image_of_proxy))
    seen = await until(api, namespace, lambda seen: sum(each.healthy for each in seen.groups.values()) == len(groups))
    ports = {group.component: each.instances[0].address.rpartition(":")[2] for group, each in seen.groups.items()}
    assert ports == {"tcp": "15080", "tcp-bare": "80", "http-bare": "8080", "command": "15080", "worker": ""}


async def test_an_edge_moves_by_its_selector_alone(api: Api, cluster: Cluster, namespace: str) -> None:
    """From a group with a proxy to one without, whatever ports they have, and to none."""
    shape = ClusterShape(expose=Exposure.NODE_PORT, patches=(AS_USER,))

    def of(born: int, port: int) -> GroupSource:
        found = source(
            "backend",
            image=cluster.images["base"],
            run=serving("0.0.0.0"),
            health=Health(),
            drain=0,
            cluster=shape,
            port=port,
        )
        return replace(found, group=GroupAddress("stage", "backend", born))

    old, new = of(1, 8081), of(2, 9092)
    await apply(api, group_objects(namespace, old, proxy=cluster.images["gateway"]))
    await apply(api, group_objects(namespace, new, proxy=""))
    await until(api, namespace, lambda seen: sum(each.healthy for each in seen.groups.values()) == 2)
    async with httpx.AsyncClient(trust_env=False, headers={"Connection": "close"}) as people:
        for group in (old, new, old):
            await apply(api, entry_objects(namespace, "backend", group.group, group.pin))
            seen = await look(api, namespace, cluster.node_ip)
            assert seen.entries == {"backend": group.group}
            port = str(group.release.runtime.port)
            async with asyncio.timeout(LONG):
                while True:
                    told = (await answer(people, seen.urls["backend"])).json()
                    if told["env"]["PORT"] == port:
                        break
                    await asyncio.sleep(0.1)


async def test_who_takes_an_instance_away_cuts_nobody_off(api: Api, cluster: Cluster, namespace: str) -> None:
    """A node that is emptied, an autoscaler: kept connections are closed by agreement, before the program ends."""
    shape = ClusterShape(expose=Exposure.NODE_PORT, patches=(AS_USER,))
    of = source(image=cluster.images["base"], run=serving(), health=HTTP, drain=5000, grace=0, cluster=shape)
    await apply(api, group_objects(namespace, of, proxy=cluster.images["gateway"]))
    await apply(api, entry_objects(namespace, "frontend", of.group, of.pin))
    seen = await until(api, namespace, lambda seen: seen.groups[of.group].healthy == 1, cluster.node_ip)
    async with httpx.AsyncClient(trust_env=False) as people, asyncio.timeout(LONG):
        first = await answer(people, seen.urls["frontend"])
        assert "connection" not in first.headers
        pod = first.json()["env"]["TIDEGATE_INSTANCE"]
        await api.delete(POD, pod, namespace)
        while True:
            told = await people.get(seen.urls["frontend"])  # on the same connection
            assert told.json()["env"]["TIDEGATE_INSTANCE"] == pod
            if told.headers.get("connection") == "close":
                break
            await asyncio.sleep(0.05)
    reasons = {each.get("reason") for each in (await api.list(EVENT, namespace)).items}
    assert "FailedPreStopHook" not in reasons


async def answer(people: httpx.AsyncClient, url: str) -> httpx.Response:
    """What an address answers, as soon as it does."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                return await people.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
