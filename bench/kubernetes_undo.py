"""Undo of a change of four services on a cluster, from the failure to the last answer of the new release.

The services are a chain of two instances each; the last one's new release is healthy and answers 500 under traffic.
Time runs from the failed step in the journal to the first answer of the old release after which no new one is seen, by
users who open a connection for each request and by one whose connection was opened to the new release and is kept as
long as the other side keeps it. Beside it, what one does who has kubectl alone and applied the new objects under the
names of the old ones: apply the old ones again, and wait until they are rolled out. `tidegate render` printed both.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.on_cluster import ENVIRONMENT, Service, Shop, cluster_or_row, shop, until_quiet
from bench.project import PATIENCE, Failed
from bench.table import Row, show
from bench.undo import Answer, failed_at, recovered

SIZE = 4
REPLICAS = 2
TIMES = 3
REST = 0.005  # seconds between two requests
OBSERVED = 3  # seconds
WHAT = f"Kubernetes: undo of {SIZE} services ÷ kubectl"
BOUND = 0.3
LINKS = [f"link-{place}" for place in range(SIZE)]
SERVICES = [
    Service(name, (need,) if need else (), exposed=name == LINKS[0])
    for name, need in zip(LINKS, [*LINKS[1:], ""], strict=True)
]


class Users:
    """They ask until the program ended; each answer's release, and when it came, is in `answers`."""

    def __init__(self, url: str, program: subprocess.Popen[str]) -> None:
        where = urlsplit(url)
        self._host, self._port = str(where.hostname), where.port or 80
        self._program = program
        self._switched = asyncio.Event()
        self.answers: list[Answer] = []

    async def come(self) -> None:
        """Both kinds of them."""
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(self._newcomers(), self._keeper())
        except TimeoutError:
            self._program.kill()
            raise Failed("the undo did not end") from None

    async def _newcomers(self) -> None:
        while self._program.poll() is None:
            await self._connected(once=True)
            if self.answers[-1][1] == "v2":
                self._switched.set()
        self._switched.set()

    async def _keeper(self) -> None:
        await self._switched.wait()
        while self._program.poll() is None:
            await self._connected(once=False)

    async def _connected(self, *, once: bool) -> None:
        """Ask over one connection, until it is closed."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while self._program.poll() is None:
                writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
                self.answers.append((time.time(), fields.get(b"x-release", b"").decode()))
                await asyncio.sleep(REST)
                if once or fields.get(b"connection") == b"close":
                    return
        finally:
            writer.close()


def undo_once(made: Shop) -> float:
    """Seconds from the failure to the old release, for the broken change that lies in the checkout."""
    url = made.url(LINKS[0])
    program = made.made.begin("up", ENVIRONMENT, "--yes")
    users = Users(url, program)
    asyncio.run(users.come())
    said, _ = program.communicate()
    if program.returncode != 1 or {release for _, release in users.answers} != {"v1", "v2"}:
        raise Failed(f"the broken change was not undone, or never seen (status {program.returncode}):\n{said}")
    return recovered(users.answers, "v1") - asyncio.run(failed_at(made.made, ENVIRONMENT))


def reapplied(made: Shop, old: Path, new: Path) -> float:
    """Seconds to apply the old objects again after the new ones, which have the same names."""
    made.kubectl("apply", "-f", str(new))
    made.rolled_out()
    until_quiet()
    begun = time.perf_counter()
    made.kubectl("apply", "-f", str(old))
    made.rolled_out()
    return time.perf_counter() - begun


def measure(times: int = TIMES) -> list[tuple[float, float]] | Row:
    """(seconds to undo, seconds to apply again), alternating, on the same cluster."""
    cluster = cluster_or_row(WHAT, BOUND)
    if isinstance(cluster, Row):
        return cluster
    broken = dict.fromkeys(LINKS, "v2") | {LINKS[-1]: "broken"}
    pairs = []
    with shop(cluster) as made, shop(cluster) as bare:
        bare.write(SERVICES, release=broken, replicas=REPLICAS)
        new = bare.render("new")
        bare.write(SERVICES, release="v1", replicas=REPLICAS)
        old = bare.render("old")
        bare.kubectl("apply", "-f", str(old))
        bare.rolled_out()
        made.write(SERVICES, release="v1", replicas=REPLICAS, observe=OBSERVED)
        made.up()
        made.write(SERVICES, release=broken, replicas=REPLICAS, observe=OBSERVED)
        for _ in range(times):
            until_quiet()
            undo = undo_once(made)
            pairs.append((undo, reapplied(bare, old, new)))
    return pairs


def rows() -> list[Row]:
    """One row; the median of the ratios."""
    pairs = measure()
    if isinstance(pairs, Row):
        return [pairs]
    if not pairs:
        raise Failed("nothing was undone")
    undo, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    against = (
        f"failure to old traffic {undo:.2f} s, slowest of {len(pairs)}: {max(undo for undo, _ in pairs):.2f} s; "
        f"`kubectl apply` of the former objects and `rollout status` {bare:.1f} s"
    )
    return [Row(WHAT, statistics.median(undo / bare for undo, bare in pairs), "×", against, BOUND)]


def main() -> None:
    """Print the ratio."""
    show("Kubernetes: undo", rows())


if __name__ == "__main__":
    main()
