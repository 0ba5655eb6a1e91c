"""A program that starts instances on request: one real process each, serving HTTP and WebSockets with uvicorn.

Reads a line of JSON for each instance to start, forks, and answers with its pid. Forking spares each of them the
time to import a server and a client.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

SLOW = 5.0


def backend(label: str) -> Starlette:
    """Answers with its label: at once, after `SLOW` seconds, or with the size of what it was sent."""

    async def label_of(_: Request) -> Response:
        return PlainTextResponse(label)

    async def slow(_: Request) -> Response:
        await asyncio.sleep(SLOW)
        return PlainTextResponse(label)

    async def size(request: Request) -> Response:
        return PlainTextResponse(f"{label} {len(await request.body())}")

    return Starlette(
        routes=[Route("/get", label_of), Route("/slow", slow), Route("/post", size, methods=["POST"])],
    )


def frontend(label: str, edge: str) -> Starlette:
    """Answers with its label and what its backend, which it knows by its edge alone, answered."""
    client = httpx.AsyncClient(base_url=edge, timeout=SLOW + 5, trust_env=False)

    async def through(request: Request) -> Response:
        answer = await client.request(request.method, request.url.path, content=await request.body())
        return PlainTextResponse(f"{label} {answer.text}", status_code=answer.status_code)

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
                await socket.send_text(f"{label} {(await client.get('/get')).text}")
        except WebSocketDisconnect:
            return

    return Starlette(
        routes=[
            Route("/get", through),
            Route("/slow", through),
            Route("/post", through, methods=["POST"]),
            WebSocketRoute("/live", live),
        ],
    )


def serve(order: dict[str, Any]) -> None:
    """Serve one instance until SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    app = frontend(order["label"], order["edge"]) if order["edge"] else backend(order["label"])
    uvicorn.run(app, host="127.0.0.1", port=order["port"], log_level="critical", lifespan="off", ws="websockets-sansio")


def main() -> None:
    """Fork an instance for each line, until there are no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries those who end
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(0)
                serve(json.loads(line))
            finally:
                os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
