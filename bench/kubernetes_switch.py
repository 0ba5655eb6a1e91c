"""Releases under load on a cluster: ten changes of a frontend and the backend that it calls, both at once.

Two instances each. Users come from outside of the pods, at the address of the frontend's Service: `wrk` over
connections that are kept, and others who open a connection for each request. Each answer tells the release of both; one
that tells two different ones is mixed.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench import load
from bench.on_cluster import Service, cluster_or_row, shop, until_quiet
from bench.project import Failed
from bench.table import Row, show

CHANGES = 10
REPLICAS = 2
LONGEST = 600  # seconds that the load would last if nobody ended it
CONNECTIONS = 8  # the machine that answers is the one that asks
REST = 0.005  # seconds between two connections
WHAT = "Kubernetes: releases under load"
SERVICES = (Service("front", ("back",), exposed=True), Service("back"))


@dataclass
class Newcomers:
    """Users who open a connection for each request, two at a time, in a thread of their own."""

    url: str
    requests: int = 0
    failed: int = 0
    mixed: int = 0
    slowest: float = 0  # milliseconds
    why: str = ""
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    async def _come(self) -> None:
        await asyncio.gather(self._user(), self._user())

    async def _user(self) -> None:
        where = urlsplit(self.url)
        while not self._end.is_set():
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(30):
                    said = await _ask(str(where.hostname), where.port or 80)
            except (OSError, EOFError, ValueError) as error:  # among them TimeoutError
                self.failed += 1
                self.why = repr(error)
            else:
                self.mixed += len(set(said.split())) != 1
            self.requests += 1
            self.slowest = max(self.slowest, (time.perf_counter() - begun) * 1000)
            await asyncio.sleep(REST)


async def _ask(host: str, port: int) -> str:
    """The body. Raises ValueError for any answer but 200."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise ValueError(f"{head[:40]!r}: {body[:200]!r}")
        return body.decode()
    finally:
        writer.close()


def measure(changes: int = CHANGES) -> tuple[load.Counted, Newcomers, float] | Row:
    """What `wrk` and the newcomers counted, and the seconds that it lasted."""
    cluster = cluster_or_row(WHAT, 0)
    if isinstance(cluster, Row):
        return cluster
    with shop(cluster) as made, tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "mixed.lua"
        script.write_text(load.MIXED)
        made.write(SERVICES, release="v0", replicas=REPLICAS)
        made.up()
        until_quiet()
        url = made.url("front")
        begun = time.monotonic()
        wrk = load.begin(url, LONGEST, connections=CONNECTIONS, script=script)
        try:
            with Newcomers(url) as newcomers:
                for number in range(changes):
                    made.write(SERVICES, release=f"v{number + 1}", replicas=REPLICAS)
                    made.up()
            wrk.send_signal(signal.SIGINT)
            return load.counted(wrk, 30), newcomers, time.monotonic() - begun
        finally:
            if wrk.poll() is None:
                wrk.kill()
                wrk.communicate()


def rows() -> list[Row]:
    """Failed and mixed answers."""
    if not load.available():
        return [Row(WHAT, None, "", load.MISSING, 0)]
    found = measure()
    if isinstance(found, Row):
        return [found]
    kept, new, seconds = found
    if not new.requests or not kept.requests:
        raise Failed("nobody was answered")
    against = (
        f"{CHANGES} changes of both services in {seconds:.0f} s; kept alive: {kept.failed} of {kept.requests:,}, "
        f"slowest {kept.slowest:.0f} ms; a connection each: {new.failed} of {new.requests:,}, slowest "
        f"{new.slowest:.0f} ms{f'; {new.why}' if new.why else ''}"
    )
    return [
        Row(f"{WHAT}: failed requests", kept.failed + new.failed, "", against, 0),
        Row(f"{WHAT}: answers of two releases", (kept.mixed or 0) + new.mixed, "", "of the same requests", 0),
    ]


def main() -> None:
    """Print the rows."""
    show("Kubernetes: releases under load", rows())


if __name__ == "__main__":
    main()
