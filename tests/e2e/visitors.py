"""Visitors of the frontend: what they ask for, and what they were answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

BODY = b"x" * 20_000
CROWD = ("kept alive", "kept alive", "one connection each", "one connection each", "post")


@dataclass(frozen=True)
class Answer:
    """`labels` are the frontend's and the backend's. `status` 0: no answer came, `text` says why."""

    kind: str
    status: int
    text: str
    seconds: float

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.text.split()[:2])

    @property
    def mixed(self) -> bool:
        return self.status == 200 and len(set(self.labels)) > 1


@dataclass
class Visitors:
    """They come until `done`; each rests a little, for without that they would measure the machine."""

    port: int
    rest: float = 0.03
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[Answer] = field(default_factory=list)

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    @property
    def mixed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.mixed]

    def labels(self, since: int = 0) -> set[tuple[str, ...]]:
        """Who answered, from the answer with this number on."""
        return {answer.labels for answer in self.answers[since:]}

    async def ask(self, client: httpx.AsyncClient, kind: str, path: str = "/get") -> Answer:
        began = time.perf_counter()
        headers = {"Connection": "close"} if kind == "one connection each" else {}
        try:
            if kind == "post":
                found = await client.post(f"http://127.0.0.1:{self.port}/post", content=BODY)
            else:
                found = await client.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        except httpx.HTTPError as error:
            answer = Answer(kind, 0, repr(error), time.perf_counter() - began)
        else:
            answer = Answer(kind, found.status_code, found.text, time.perf_counter() - began)
            if kind == "post" and found.status_code == 200 and found.text.split()[2:] != [str(len(BODY))]:
                answer = Answer(kind, 0, f"of the body arrived: {found.text}", answer.seconds)
        self.answers.append(answer)
        return answer

    async def visit(self, kind: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            while not self.done.is_set():
                await self.ask(client, kind)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.done.wait(), self.rest)

    async def visit_slowly(self) -> Answer:
        """One request whose answer takes 5 s."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            return await self.ask(client, "slow", "/slow")

    async def talk(self) -> tuple[set[str], int]:
        """A WebSocket that the visitor never closes: what it was answered, and the code it was closed with."""
        said = set()
        try:
            async with connect(f"ws://127.0.0.1:{self.port}/live", proxy=None) as socket:
                while True:
                    await socket.send("?")
                    said.add(str(await socket.recv()))
                    await asyncio.sleep(0.1)  # the pace of the conversation
        except ConnectionClosed as closed:
            return said, closed.rcvd.code if closed.rcvd else 0

    async def come(self, *, more: int) -> None:
        """Wait until so many more answers were given."""
        enough = len(self.answers) + more
        async with asyncio.timeout(20):
            while len(self.answers) < enough:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.01)

    def __str__(self) -> str:
        kinds = Counter(answer.kind for answer in self.answers)
        slowest = max((answer.seconds for answer in self.answers if answer.kind != "slow"), default=0)
        return (
            f"{len(self.answers)} answers ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}), "
            f"{len(self.failed)} failed, slowest {slowest * 1000:.0f} ms"
        )


@contextlib.asynccontextmanager
async def visitors(port: int, *kinds: str, rest: float = 0.03) -> AsyncIterator[Visitors]:
    """A crowd that visits as long as the block lasts."""
    crowd = Visitors(port, rest)
    async with asyncio.TaskGroup() as tasks:
        for kind in kinds or CROWD:
            tasks.create_task(crowd.visit(kind))
        try:
            yield crowd
        finally:
            crowd.done.set()
