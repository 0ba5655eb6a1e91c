"""The little HTTP that the agent speaks: one request per connection, JSON in and out, over a unix socket.

A framework would cost 130 ms at every start of an agent, which is part of `tidegate up`; what is needed of HTTP/1.1
here is a request line, headers and a body of known length.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tidegate.drivers.local.folders import unusable
from tidegate.drivers.local.protocol import error_to_json
from tidegate.errors import OldEpoch, StepFailed, TidegateError

Handler = Callable[[str, str, dict[str, Any]], Awaitable[Any]]
"""Method, path and body to an answer; raises LookupError for a path that does not exist."""


async def answer(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection. A client that closes it before the answer cancels what it asked for."""
    try:
        method, path, body = await _request(reader)
        work = asyncio.ensure_future(handler(method, path, body))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                status, content = _outcome(work)
                await _respond(writer, status, content)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.wait({work, gone})
            for task in (work, gone):
                if not task.cancelled():
                    task.exception()  # nobody is left to hear of it
    except (ValueError, EOFError, ConnectionError):
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = int(headers.get("content-length", "0"))
    return method, path, json.loads(await reader.readexactly(length)) if length else {}


def _outcome(work: asyncio.Future[Any]) -> tuple[int, Any]:
    error = None if work.cancelled() else work.exception()
    if work.cancelled():
        return 503, {"type": "TemporaryError", "summary": "cannot finish this", "detail": "The agent is ending."}
    if error is None:
        return 200, work.result()
    if isinstance(error, TidegateError):
        status = 409 if isinstance(error, OldEpoch) else 422 if isinstance(error, StepFailed) else 500
        return status, error_to_json(error)
    if isinstance(error, LookupError):
        return 404, {"type": "TargetError", "summary": "cannot find this", "detail": str(error)}
    if isinstance(error, OSError):
        return 500, error_to_json(unusable(error))
    detail = f"{type(error).__name__}: {error}"
    asyncio.get_running_loop().call_exception_handler({"message": "a step failed unexpectedly", "exception": error})
    return 500, {"type": "TargetError", "summary": "cannot go on", "detail": detail}


async def _respond(writer: asyncio.StreamWriter, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    writer.write(
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()
