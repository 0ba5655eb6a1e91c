"""Visitors of a page, with kept-alive and with new connections: who answered them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.kubernetes.e2e.shop import until

REST = 0.03  # seconds between two requests: without a pause they would measure the machine
KINDS = (True, True, False, False)  # whether the connection is kept


@dataclass
class Visitors:
    """They come until `done`. `answers` are the releases of page and backend ("" if it names none), `failed` is what
    was no answer."""

    url: str
    done: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def visit(self, kept: bool) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while not self.done.wait(REST):
                try:
                    found = client.get(self.url, headers={} if kept else {"Connection": "close"})
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                if found.status_code == 200:
                    self.answers.append((found.headers["x-release"], found.headers.get("x-backend-release", "")))
                else:
                    self.failed.append(f"{found.status_code}")

    def come(self, more: int) -> None:
        """Wait until so many more were answered."""
        enough = len(self.answers) + len(self.failed) + more
        until(f"{more} more visits", lambda: len(self.answers) + len(self.failed) >= enough)


@contextmanager
def visitors(url: str) -> Iterator[Visitors]:
    """They visit as long as the block lasts."""
    crowd = Visitors(url)
    threads = [threading.Thread(target=crowd.visit, args=(kept,)) for kept in KINDS]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        crowd.done.set()
        for thread in threads:
            thread.join()
