"""Small tables of addresses, free ports, and instances that say what was sent to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from tidegate.drivers.local.gateway import Listener, Role, Upstream


def free_port() -> int:
    """A port that nobody listens on, outside the range from which the kernel picks ports for outgoing connections:
    what binding port 0 gives could be taken by a client of another test before the gateway binds it."""
    numbers = random.SystemRandom()
    while True:
        port = numbers.randrange(18_000, 32_000)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port


def upstream(component: str, born: int, *ports: int) -> Upstream:
    group = f"{component}-r{born}"
    return Upstream(
        name=f"dev/{group}",
        environment="dev",
        component=component,
        group=group,
        release=f"sha256:{component}{born}",
        endpoints=tuple(("127.0.0.1", port) for port in ports),
    )


def entry(component: str, port: int, to: Upstream | None) -> Listener:
    return Listener(
        name=f"dev/entry/{component}",
        role=Role.ENTRY,
        environment="dev",
        port=port,
        caller="",
        caller_group="",
        caller_release="",
        need=component,
        to=to.name if to else None,
    )


def edge(caller: Upstream, need: str, port: int, to: Upstream | None) -> Listener:
    return Listener(
        name=f"dev/edge/{caller.group}/{need}",
        role=Role.EDGE,
        environment="dev",
        port=port,
        caller=caller.component,
        caller_group=caller.group,
        caller_release=caller.release,
        need=need,
        to=to.name if to else None,
    )


@dataclass(frozen=True)
class Request:
    """What an instance was sent. Names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], Awaitable[tuple[int, bytes] | None]]


@dataclass
class Instance:
    """An HTTP server in this process: keeps what it was sent, answers with `answer`; None closes the connection."""

    answer: Answer
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _read(reader)
                self.requests.append(request)
                answer = await self.answer(request)
                if answer is None:
                    return
                status, body = answer
                head = f"HTTP/1.1 {status} Said\r\nServer: instance\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


@contextlib.asynccontextmanager
async def instance(answer: Answer | str) -> AsyncIterator[Instance]:
    """A running instance; a text stands for 200 and that text."""
    if isinstance(answer, str):
        text = answer.encode()

        async def fixed(_: Request) -> tuple[int, bytes]:
            return 200, text

        running = Instance(fixed)
    else:
        running = Instance(answer)
    server = await asyncio.start_server(running._serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, within: float = 10.0) -> None:
    """Wait until `condition` holds; fails the test when it does not `within` seconds."""
    with anyio.move_on_after(within):
        while not await condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await anyio.sleep(0.01)
        return
    raise AssertionError(f"not within {within} s: {what}")


def report(text: str) -> None:
    """Figures for whoever runs the tests with `-s`, or sees one fail."""
    print(text)  # noqa: T201 - there is no other way out of a test
