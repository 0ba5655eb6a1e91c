"""Asking the running Envoy: is it ready, what did it count, which route table answers. Over unix sockets only.

HTTP is spoken here by hand: an HTTP client's library would take longer to import than the agent takes to start.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tidegate.errors import TargetUnreachable

_TIMEOUT = 5.0
_LONGEST_HEAD = 64 * 1024


class Admin:
    """The two sockets of one Envoy. Keeps no connection open between questions."""

    def __init__(self, admin: Path, probe: Path) -> None:
        self._admin = admin
        self._probe = probe

    async def ready(self) -> bool:
        """Whether Envoy has read its configuration and serves; False also when nobody listens."""
        try:
            return (await _ask(self._admin, "GET", "/ready")).status == 200
        except TargetUnreachable:
            return False

    async def statistics(self, pattern: str) -> dict[str, int | str]:
        """Name -> value of those whose name `pattern` (RE2, unanchored) finds. Raises `TargetUnreachable`."""
        query = urlencode({"format": "json", "filter": pattern})
        answer = await _ask(self._admin, "GET", f"/stats?{query}")
        try:
            entries = json.loads(answer.text)["stats"]
            return {entry["name"]: entry["value"] for entry in entries if "name" in entry}
        except (ValueError, KeyError, TypeError) as error:
            raise TargetUnreachable("cannot understand the gateway", answer.text[:200]) from error

    async def route_version(self) -> str:
        """The version of the route table that answers requests now, "" if none does. Raises `TargetUnreachable`."""
        answer = await _ask(self._probe, "GET", "/")
        return answer.text if answer.status == 200 else ""

    async def reopen_logs(self) -> None:
        """Let go of access logs that were renamed. Raises `TargetUnreachable`."""
        answer = await _ask(self._admin, "POST", "/reopen_logs")
        if answer.status != 200:
            raise TargetUnreachable("cannot reach the gateway", f"it answered {answer.status}: {answer.text[:200]}")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str


async def _ask(socket: Path, method: str, target: str) -> _Answer:
    """One request on a connection of its own. Raises `TargetUnreachable`, also for an answer that is cut off."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(socket, limit=_LONGEST_HEAD)
            try:
                head = f"{method} {target} HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                return await _answer(reader)
            finally:
                writer.close()
    except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError) as error:
        raise TargetUnreachable("cannot reach the gateway", f"{type(error).__name__}: {error}") from error


async def _answer(reader: asyncio.StreamReader) -> _Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Answer(int(head[0].split(" ", 2)[1]), body.decode(errors="replace"))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).partition(b";")[0], 16):  # ValueError where it was cut off
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)  # the line end after each
    return b"".join(chunks)
