"""Releases under load, and what the gateway costs.

Two services, 2 instances each, both changed by every release; `wrk` asks the entry for 20 s over 32 connections while
one release follows the other. Failed requests are counted by `wrk`, users' own count. Beside it, in the same run, the
same load on one instance of the service behind: through its entry, and directly, by turns. That service does nothing
at all, and load, gateway and service share the processors, so the ratio is the worst there can be; the gateway's
processor time per request is the steadier figure.
"""

from __future__ import annotations

import statistics
import time

from bench import load
from bench.chain import links, write_chain, write_release
from bench.project import Project, processor_time, project
from bench.table import Row, show

SECONDS = 20
TURNS = 3
TURN = 4  # seconds
ENVIRONMENTS = "  dev: {observe: 1s}\n  alone: {observe: 0s}\n"
FRONT, BACK = links(2)


def releases_under_load(made: Project) -> tuple[load.Counted, int]:
    """What was counted, and how many releases began and ended meanwhile."""
    users = load.begin(made.status()["dev", FRONT]["url"], SECONDS)
    begun = time.monotonic()
    done, longest = 0, 0.0
    try:
        while time.monotonic() - begun + longest < SECONDS - 1:  # none that would outlast the load
            write_release(made, 2, f"v{done + 2}")
            longest = max(longest, made.tidegate("up", "dev", "--yes"))
            done += 1
        return load.counted(users, SECONDS + 15), done
    finally:
        if users.poll() is None:
            users.kill()
            users.communicate()


def gateway_and_direct(made: Project) -> tuple[float, float, float]:
    """Requests per second through the entry, and directly; microseconds of the gateway's processor time per request."""
    back = made.status()["alone", BACK]
    pid = made.gateway()
    through, direct, costs = [], [], []
    for _ in range(TURNS):
        before = processor_time(pid)
        counted = load.run(back["url"], TURN)
        costs.append((processor_time(pid) - before) / counted.requests * 1e6)
        through.append(counted.per_second)
        direct.append(load.run(f"http://{back['instances'][0]['address']}", TURN).per_second)
    return statistics.median(through), statistics.median(direct), statistics.median(costs)


def rows() -> list[Row]:
    """Three rows; one that says what is missing where there is no `wrk`."""
    if not load.available():
        return [Row("release under load: failed requests", None, "", load.MISSING, 0)]
    with project() as made:
        write_chain(made, 2, environments=ENVIRONMENTS, replicas="{default: 2, alone: 1}")
        write_release(made, 2, "v1")
        made.tidegate("up", "dev", "alone", "--yes")
        through, direct, cost = gateway_and_direct(made)
        counted, done = releases_under_load(made)
    against = f"of {counted.requests:,} in {SECONDS} s with {done} releases; slowest {counted.slowest:.0f} ms"
    rates = f"{through:,.0f} requests/s through the entry; {direct:,.0f} direct to the same instance"
    return [
        Row("release under load: failed requests", counted.failed, "", against, 0),
        Row("gateway ÷ direct throughput", through / direct, "×", rates),
        Row(
            "gateway: processor time per request",
            cost,
            "µs",
            f"{cost * direct / 1e6:.2f} × the time of a direct request",
        ),
    ]


def main() -> None:
    """Print the rows."""
    show("Release", rows())


if __name__ == "__main__":
    main()
