"""Asking the running Envoy: is it ready, what did it count, which route table answers. Over unix sockets only."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tidegate.errors import TargetUnreachable

_TIMEOUT = 5.0


class Admin:
    """The two sockets of one Envoy. Keeps no connection open between questions."""

    def __init__(self, admin: Path, probe: Path) -> None:
        self._admin = admin
        self._probe = probe

    async def ready(self) -> bool:
        """Whether Envoy has read its configuration and serves; False also when nobody listens."""
        try:
            return (await _get(self._admin, "/ready")).status_code == 200
        except TargetUnreachable:
            return False

    async def statistics(self, pattern: str) -> dict[str, int | str]:
        """Name -> value of those whose name `pattern` (RE2, unanchored) finds. Raises `TargetUnreachable`."""
        answer = await _get(self._admin, "/stats", {"format": "json", "filter": pattern})
        try:
            entries = json.loads(answer.text)["stats"]
            return {entry["name"]: entry["value"] for entry in entries if "name" in entry}
        except (ValueError, KeyError, TypeError) as error:
            raise TargetUnreachable("cannot understand the gateway", answer.text[:200]) from error

    async def route_version(self) -> str:
        """The version of the route table that answers requests now, "" if none does. Raises `TargetUnreachable`."""
        answer = await _get(self._probe, "/")
        return answer.text if answer.status_code == 200 else ""

    async def reopen_logs(self) -> None:
        """Let go of access logs that were renamed. Raises `TargetUnreachable`."""
        async with _client(self._admin) as client:
            try:
                (await client.post("/reopen_logs")).raise_for_status()
            except httpx.HTTPError as error:
                raise _unreachable(error) from error


async def _get(socket: Path, path: str, query: dict[str, str] | None = None) -> httpx.Response:
    async with _client(socket) as client:
        try:
            return await client.get(path, params=query)
        except httpx.TransportError as error:
            raise _unreachable(error) from error


def _client(socket: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=_TIMEOUT, trust_env=False)


def _unreachable(error: httpx.HTTPError) -> TargetUnreachable:
    return TargetUnreachable("cannot reach the gateway", f"{type(error).__name__}: {error}")
