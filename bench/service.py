"""A service that costs next to nothing, copied into the projects that are measured.

`python service.py [VARIABLE]`: answers on $PORT with the release ($BENCH_RELEASE, else the file `release` beside it) in
the header `x-release` and in the body. With VARIABLE it first asks the address in that variable and adds what that
said. A release whose name begins with `broken` is healthy, and answers 500 to everything else. Standard library only.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

RELEASE = os.environ.get("BENCH_RELEASE") or Path(__file__).with_name("release").read_text().strip()


class Need:
    """The service behind, over connections that are kept."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.host, self.port = host, int(port or 80)
        self.kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> tuple[int, bytes]:
        """Status and body; nothing is tried twice."""
        while self.kept:
            reader, writer = self.kept.pop()
            if not reader.at_eof():
                break
            writer.close()
        else:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        self.kept.append((reader, writer))
        return int(head.split(None, 2)[1]), body


class Answering(asyncio.Protocol):
    """One connection; requests without bodies, one after the other."""

    def __init__(self, need: Need | None) -> None:
        self.need = need
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = head.split(None, 2)[1]
            if path == b"/healthz":
                self.answer(200, b"")
            elif self.need is None:
                self.answer(500 if RELEASE.startswith("broken") else 200, b"")
            else:
                asked.add(task := asyncio.get_running_loop().create_task(self.forward(self.need)))
                task.add_done_callback(asked.discard)

    async def forward(self, need: Need) -> None:
        """Ask the service behind and answer."""
        try:
            status, body = await need.ask()
        except (OSError, EOFError, ValueError) as error:
            status, body = 502, type(error).__name__.encode()
        self.answer(status, b" " + body)

    def answer(self, status: int, rest: bytes) -> None:
        """Write the whole answer."""
        body = RELEASE.encode() + rest
        head = f"HTTP/1.1 {status} -\r\nx-release: {RELEASE}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


asked: set[asyncio.Task[None]] = set()


async def main() -> None:
    """Serve until SIGTERM; requests that are being answered are answered."""
    need = Need(os.environ[sys.argv[1]]) if len(sys.argv) > 1 else None
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Answering(need), "127.0.0.1", int(os.environ["PORT"]))
    await ended.wait()
    server.close()
    if asked:
        await asyncio.wait(asked, timeout=5)


if __name__ == "__main__":
    asyncio.run(main())
