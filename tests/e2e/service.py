"""A small program that stands for a user's service: raw asyncio, so that it starts in 60 ms.

Answers each request with its label and, where it needs a backend, with what that one answered: "3 3". How it behaves
stands in `behaviour.json` beside it, which is part of its release: `label`; `healthy_when` (a file that has to exist
for it to be healthy); `error_every` (every so many answers are 500; 0: none).

GET /get, POST /post (answers with the size of the body), /slow (5 s), /live (a WebSocket that answers each message),
/healthz, /env, /pid.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

SLOW = 5.0
BEHAVIOUR: dict[str, Any] = json.loads(Path("behaviour.json").read_text())
LABEL = str(BEHAVIOUR["label"])
BACKEND = os.environ.get("BACKEND_URL", "").removeprefix("http://")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Now:
    """What is going on in this process."""

    answered = 0
    working = 0
    idle: ClassVar[list[Connection]] = []  # kept-alive connections to the backend
    sockets: ClassVar[set[asyncio.StreamWriter]] = set()


async def from_backend(method: str, path: str, body: bytes) -> tuple[int, str]:
    """Ask the backend; connections are kept, as clients with a pool do."""
    host, port = BACKEND.split(":")
    reader, writer = Now.idle.pop() if Now.idle else await asyncio.open_connection(host, int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: backend\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    head, content = await message(reader)
    if b"connection: close" in head.lower():
        writer.close()
    else:
        Now.idle.append((reader, writer))
    return int(head.split(b" ")[1]), content.decode()


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request or an answer; bodies have a length here."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(int(header(head, b"content-length") or 0))


def header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip()
    return b""


def healthy() -> bool:
    return Path(BEHAVIOUR.get("healthy_when", ".")).exists()


async def answer(method: str, path: str, body: bytes) -> tuple[int, str]:
    match path:
        case "/healthz":
            return (200 if healthy() else 503), LABEL
        case "/env":
            return 200, json.dumps(dict(os.environ))
        case "/pid":
            return 200, str(os.getpid())
    if BACKEND:
        status, text = await from_backend(method, path, body)
        return status, f"{LABEL} {text}"
    if path == "/slow":
        await asyncio.sleep(SLOW)
    Now.answered += 1
    every = BEHAVIOUR.get("error_every", 0)
    if every and Now.answered % every == 0:
        say("ERROR: division by zero")
        return 500, LABEL
    return 200, f"{LABEL} {len(body)}" if path == "/post" else LABEL


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head, body = await message(reader)
            Now.working += 1
            try:
                method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
                if path == "/live":
                    await live(reader, writer, header(head, b"sec-websocket-key"))
                    return
                status, text = await answer(method, path, body)
                content = text.encode()
                writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
            finally:
                Now.working -= 1
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def live(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> None:
    """A WebSocket; messages of at most 125 bytes. It lives until one side closes it."""
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    Now.sockets.add(writer)
    try:
        while True:
            first, second = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await reader.readexactly(second & 127)))
            if first & 15 == 8:
                if writer in Now.sockets:  # otherwise it is the answer to our own
                    writer.write(bytes([0x88, len(payload)]) + payload)
                return
            _, text = await answer("GET", "/get", b"")
            writer.write(bytes([0x81, len(text)]) + text.encode())
    finally:
        Now.sockets.discard(writer)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    say(f"listening on {os.environ['PORT']}")
    await ending.wait()
    server.close()
    for writer in list(Now.sockets):
        Now.sockets.discard(writer)
        writer.write(b"\x88\x02" + (1012).to_bytes(2, "big"))  # "service restart"
    while Now.working:  # noqa: ASYNC110 - a count, and the process ends with it
        await asyncio.sleep(0.02)


asyncio.run(main())
