"""A plan against a namespace with 500 services that have no instances: seconds, and requests to the API server.

The services were never brought up by `up`: what `tidegate render` prints is made there, each Deployment with 0
replicas. So the plan is to start all of them. Requests are counted on the way, in a call of its own, for that takes
time too; the same is done with 50 services.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import Any

import anyio
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import FaultyApi

from bench.on_cluster import ENVIRONMENT, Service, Shop, cluster_or_row, shop, until_quiet
from bench.table import Row, show
from tidegate.drivers.kubernetes.client import Api

SIZE, SMALL = 500, 50
TIMES = 3
AT_ONCE = 16
WHAT = f"Kubernetes: plan against {SIZE} services"
KINDS = ("Namespace", "Deployment", "Service")


def services(size: int) -> list[Service]:
    """Half of them need one of the others."""
    half = size // 2
    callers = [Service(f"front-{place:03}", (f"back-{place:03}",)) for place in range(half)]
    return callers + [Service(f"back-{place:03}") for place in range(size - half)]


async def fill(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    """Make them, the namespace first."""
    api = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def make(obj: dict[str, Any]) -> None:
        async with limit:
            await api.apply(obj)

    try:
        for each in objects[:1]:
            await api.apply(each)
        async with anyio.create_task_group() as tasks:
            for each in objects[1:]:
                tasks.start_soon(make, each)
    finally:
        await api.close()


def requests(made: Shop, folder: Path) -> int:
    """How often one plan asks the API server."""
    with FaultyApi(made.cluster.kubeconfig, made.cluster.context) as between:
        own = made.made.env["KUBECONFIG"]
        made.made.env["KUBECONFIG"] = str(between.kubeconfig(folder))
        try:
            made.made.tidegate("plan", ENVIRONMENT)
        finally:
            made.made.env["KUBECONFIG"] = own
        return len(between.calls)


def measure(cluster: Cluster, size: int, times: int = TIMES) -> tuple[float, int]:
    """Seconds of the command, and its requests."""
    with shop(cluster) as made:
        made.write(services(size), release="v1")
        found = [each for each in made.rendered("rendered") if each["kind"] in KINDS]
        for each in found:
            if each["kind"] == "Deployment":
                each["spec"]["replicas"] = 0
        asyncio.run(fill(cluster, found))
        until_quiet()
        seconds = [made.made.tidegate("plan", ENVIRONMENT) for _ in range(times)]
        return statistics.median(seconds), requests(made, made.made.root.parent)


def rows() -> list[Row]:
    """Seconds and requests."""
    cluster = cluster_or_row(WHAT)
    if isinstance(cluster, Row):
        return [cluster]
    few, few_requests = measure(cluster, SMALL)
    seconds, asked = measure(cluster, SIZE)
    return [
        Row(WHAT, seconds, "s", f"the whole command; {few:.2f} s with {SMALL} services"),
        Row(f"{WHAT}: requests to its API", asked, "", f"{few_requests} with {SMALL} services"),
    ]


def main() -> None:
    """Print the rows."""
    show("Kubernetes: plan", rows())


if __name__ == "__main__":
    main()
