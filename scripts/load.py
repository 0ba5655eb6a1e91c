"""A steady load on one address, and an honest count of what came back.

    python scripts/load.py http://127.0.0.1:21000/ --rate 100

Ends after `--seconds`, or on SIGTERM or Ctrl-C once the requests in flight are answered, and then prints one line of
JSON. An answer other than 200, none within `--patience` seconds, or a connection that breaks is a failed request.
Half of the connections are kept alive; the others are new for each request, as those of many visitors are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import httpx


@dataclass
class Count:
    """What came back so far. `slowest` in seconds; `releases` by the answers' `x-release` header."""

    requests: int = 0
    failed: int = 0
    slowest: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> str:
        """One line, for programs and people."""
        return json.dumps(
            {
                "requests": self.requests,
                "failed": self.failed,
                "slowest": round(self.slowest, 3),
                "failures": dict(self.failures),
                "releases": dict(self.releases),
            }
        )


async def visit(client: httpx.AsyncClient, url: str, count: Count, *, kept: bool) -> None:
    """One request."""
    begun = time.monotonic()
    failure = ""
    try:
        answer = await client.get(url, headers={} if kept else {"connection": "close"})
    except httpx.HTTPError as error:
        failure = type(error).__name__
    else:
        count.releases[answer.headers.get("x-release", "unknown")] += 1
        if answer.status_code != 200:
            failure = f"status {answer.status_code}"
    count.requests += 1
    count.slowest = max(count.slowest, time.monotonic() - begun)
    if failure:
        count.failed += 1
        count.failures[failure] += 1


async def load(url: str, *, connections: int, rate: float, patience: float, stop: asyncio.Event) -> Count:
    """Up to `rate` requests a second over `connections` at a time, until `stop`; waits for the last answers."""
    count = Count()
    pause = connections / rate

    async def visitor(number: int) -> None:
        due = time.monotonic() + pause * number / connections
        while not stop.is_set():
            if (wait := due - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait)
                if stop.is_set():
                    return
            await visit(client, url, count, kept=number % 2 == 0)
            # Never hurries to catch up: after a slow answer the load goes on as before.
            due = max(due + pause, time.monotonic())

    # The address is on this machine: no proxy, and no certificates to load.
    async with httpx.AsyncClient(timeout=patience, trust_env=False, verify=url.startswith("https:")) as client:
        await asyncio.gather(*(visitor(number) for number in range(connections)))
    return count


async def run(arguments: argparse.Namespace) -> Count:
    """Load until the time is over or a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.seconds:
        loop.call_later(arguments.seconds, stop.set)
    return await load(
        arguments.url,
        connections=arguments.connections,
        rate=arguments.rate,
        patience=arguments.patience,
        stop=stop,
    )


def main() -> int:
    """Exit status 0 if no request failed, else 1."""
    parser = argparse.ArgumentParser(description="A steady load on one address, and a count of what came back.")
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=8, help="at the same time (default 8)")
    parser.add_argument("--rate", type=float, default=100, help="requests a second at most (default 100)")
    parser.add_argument("--seconds", type=float, default=0, help="how long (default: until a signal)")
    parser.add_argument("--patience", type=float, default=10, help="seconds to wait for an answer (default 10)")
    arguments = parser.parse_args()
    if arguments.connections < 1 or arguments.rate <= 0 or arguments.patience <= 0 or arguments.seconds < 0:
        parser.error("connections, rate and patience are more than 0")
    count = asyncio.run(run(arguments))
    print(count.as_json())
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
