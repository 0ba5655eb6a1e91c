"""`up` of 20 services × 2 instances on a cluster ÷ plain `kubectl apply` and `rollout status` of the same objects.

The objects are those that `tidegate render` prints: the same pods, proxies, edges and policies. What `up` does more is
to hold a claim, to look whether all this can work before anything is made, to start what is needed before who needs it,
and to give traffic to nothing that is not healthy. Four of the services need four others each.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tests.kubernetes.cluster import Cluster

from bench.on_cluster import Service, Shop, cluster_or_row, shop, until_quiet
from bench.table import Row, show

FRONTS, BEHIND = 4, 4
REPLICAS = 2
TIMES = 3
WHAT = "Kubernetes: up of 20 services × 2 ÷ kubectl"
BOUND = 1.1


def services(fronts: int = FRONTS) -> list[Service]:
    """Each of the first ones needs some of the others, which need nothing."""
    found = []
    for front in range(fronts):
        names = [f"back-{front}-{place}" for place in range(BEHIND)]
        found += [Service(f"front-{front}", names, exposed=True), *map(Service, names)]
    return found


def bare_once(made: Shop, objects: Path) -> float:
    """Seconds from nothing until every Deployment is rolled out."""
    begun = time.perf_counter()
    made.kubectl("apply", "-f", str(objects))
    made.rolled_out()
    return time.perf_counter() - begun


def measure(cluster: Cluster, *, fronts: int = FRONTS, times: int = TIMES) -> list[tuple[float, float]]:
    """(`up`, kubectl), alternating, each from a namespace that is not there."""
    with shop(cluster) as made:
        made.write(services(fronts), release="v1", replicas=REPLICAS)
        objects = made.render("rendered")
        pairs = []
        for _ in range(times):
            until_quiet()
            up = made.up()
            made.down()
            until_quiet()
            pairs.append((up, bare_once(made, objects)))
            made.gone()
        return pairs


def rows() -> list[Row]:
    """One row; the median of the ratios."""
    cluster = cluster_or_row(WHAT, BOUND)
    if isinstance(cluster, Row):
        return [cluster]
    pairs = measure(cluster)
    ratios = [up / bare for up, bare in pairs]
    up, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"{len(pairs)} pairs, {min(ratios):.2f}–{max(ratios):.2f}"
    against = f"up {up:.1f} s; `kubectl apply` and `rollout status` of the same objects {bare:.1f} s; {spread}"
    return [Row(WHAT, statistics.median(ratios), "×", against, BOUND)]


def main() -> None:
    """Print the ratio."""
    show("Kubernetes: up", rows())


if __name__ == "__main__":
    main()
