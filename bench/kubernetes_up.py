"""`up` of 20 services × 2 instances on a cluster ÷ plain `kubectl apply` and `rollout status` of the same objects.

The objects are those that `tidegate render` prints: the same pods, proxies, edges and policies. What `up` does more is
to hold a claim, to look whether all this can work before anything is made, and to give traffic to nothing that is not
healthy. Where services need others it also starts those first: no program meets a missing one when it begins.
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


def services(*, needing: bool, fronts: int = FRONTS) -> list[Service]:
    """Of each group of five the first one needs the others, if they are to need any."""
    found = []
    for front in range(fronts):
        names = [f"back-{front}-{place}" for place in range(BEHIND)]
        found += [Service(f"front-{front}", names if needing else (), exposed=True), *map(Service, names)]
    return found


def bare_once(made: Shop, objects: Path) -> float:
    """Seconds from nothing until every Deployment is rolled out."""
    begun = time.perf_counter()
    made.kubectl("apply", "-f", str(objects))
    made.rolled_out()
    return time.perf_counter() - begun


def measure(cluster: Cluster, *, needing: bool, fronts: int = FRONTS, times: int = TIMES) -> list[tuple[float, float]]:
    """(`up`, kubectl), alternating, each from a namespace that is not there."""
    with shop(cluster) as made:
        made.write(services(needing=needing, fronts=fronts), release="v1", replicas=REPLICAS)
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
    """Services that need nobody."""
    return _rows(WHAT, needing=False)


def rows_with_needs() -> list[Row]:
    """A fifth of the services need others."""
    return _rows(f"{WHAT}, four need four others each", needing=True)


def _rows(what: str, *, needing: bool) -> list[Row]:
    cluster = cluster_or_row(what, BOUND)
    return [cluster] if isinstance(cluster, Row) else [_row(what, measure(cluster, needing=needing))]


def _row(what: str, pairs: list[tuple[float, float]]) -> Row:
    ratios = [up / bare for up, bare in pairs]
    up, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"{len(pairs)} pairs, {min(ratios):.2f}–{max(ratios):.2f}"
    against = f"up {up:.1f} s; `kubectl apply` and `rollout status` of the same objects {bare:.1f} s; {spread}"
    return Row(what, statistics.median(ratios), "×", against, BOUND)


def main() -> None:
    """Print the ratios."""
    show("Kubernetes: up", [*rows(), *rows_with_needs()])


if __name__ == "__main__":
    main()
