"""A small program that stands for a user's service: raw asyncio, so that it starts in 50 ms.

GET / answers with the releases that took part; /healthz as told; /env with its environment; /slow after 1 s; /exit
ends it; /sick and /well change its health; /hang stops it from answering anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

BEHAVIOUR = sys.argv[1] if len(sys.argv) > 1 else "good"
COMPONENT = os.environ["TIDEGATE_COMPONENT"]
NEEDS = [
    name
    for name in os.environ
    if name.endswith("_URL") and os.environ[name].startswith("http://") and name != "TIDEGATE_URL"
]


class Mood:
    """What requests can change."""

    healthy = BEHAVIOUR != "never-healthy"
    hanging = False


async def fetch(url: str) -> Any:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port or 80))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError("the callee answered with an error")
    return json.loads(body)


async def answer(path: str) -> tuple[int, Any]:
    match path:
        case "/healthz":
            return (200 if Mood.healthy else 500), {}
        case "/sick" | "/well":
            Mood.healthy = path == "/well"
            return 200, {}
        case "/hang":
            Mood.hanging = True
            return 200, {}
        case "/exit":
            sys.stdout.write("asked to exit\n")
            sys.stdout.flush()
            os._exit(7)
        case "/env":
            return 200, dict(os.environ)
        case "/pid":
            return 200, {"pid": os.getpid()}
        case "/slow":
            await asyncio.sleep(1)
            return 200, {}
    if BEHAVIOUR == "breaks-under-traffic":
        sys.stdout.write("ERROR: division by zero\n")
        sys.stdout.flush()
        return 500, {}
    took_part = {COMPONENT: os.environ["TIDEGATE_RELEASE"]}
    for need in NEEDS:
        try:
            took_part |= await fetch(os.environ[need])
        except (OSError, ValueError):
            return 200, took_part | {"error": need}
    return 200, took_part


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if Mood.hanging:
                await asyncio.Event().wait()
            status, body = await answer(head.split(b" ")[1].decode())
            content = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(content)) + content)
            await writer.drain()
            if b"connection: close" in head.lower():
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, os.environ.get("LISTEN", "127.0.0.1"), int(os.environ["PORT"]))
    sys.stdout.write(f"listening on {os.environ['PORT']}\n")
    sys.stdout.flush()
    await server.serve_forever()


if BEHAVIOUR == "exits":
    sys.stdout.write("cannot go on\n")
    sys.exit(3)
asyncio.run(main())
