"""Handing configuration to the running Envoy, kind by kind, and waiting until it said yes or no.

Files are written elsewhere and renamed in, each with a version of its own. Envoy's statistics say whether clusters
and listeners were taken; for routes the probe says which version requests meet.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anyio

from tidegate.drivers.local.gateway.admin import Admin
from tidegate.drivers.local.gateway.bootstrap import PROBE, with_probe, without_probe
from tidegate.drivers.local.gateway.rendering import ROUTE_TABLE, Resource
from tidegate.errors import GatewayRefused

_PATIENCE = 15.0
_LONGEST_PAUSE = 0.02

# How Envoy's log, one line for each message, tells why it did not take a file.
_REASON = re.compile(r"Filesystem config update (?:rejected|failure): (.*)")


class Kind(StrEnum):
    """The kinds of configuration; the value is the name of the file."""

    CLUSTERS = "cds"
    LISTENERS = "lds"
    ROUTES = "rds"


_STATISTICS = {
    Kind.CLUSTERS: "cluster_manager.cds",
    Kind.LISTENERS: "listener_manager.lds",
    Kind.ROUTES: f"http.{PROBE}.rds.{ROUTE_TABLE}",
}


@dataclass(frozen=True, slots=True)
class Published:
    """What a file says. `acknowledged` is False while nobody knows whether Envoy agrees with it."""

    resources: dict[str, Resource]
    acknowledged: bool


class Discovery:
    """The three files that one Envoy reads. Not safe for several callers at once."""

    def __init__(self, folder: Path, admin: Admin, log: Path) -> None:
        self._live = folder / "live"
        self._staged = folder / "staged"
        self._admin = admin
        self._log = log
        self._published: dict[Kind, Published] = {}

    def file(self, kind: Kind) -> Path:
        """Where Envoy reads this kind."""
        return self._live / f"{kind}.json"

    def current(self, kind: Kind) -> dict[str, Resource]:
        """What was last acknowledged, or found at the start, by name."""
        return self._published[kind].resources

    def prepare(self, empty_routes: Resource) -> None:
        """Make sure that there are files which Envoy can start with."""
        for folder in (self._live, self._staged):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for kind in Kind:
            if not self.file(kind).exists():
                self._write(kind, [empty_routes] if kind is Kind.ROUTES else [])

    def clear(self) -> None:
        """Forget all configuration: the next Envoy starts empty."""
        for kind in Kind:
            self.file(kind).unlink(missing_ok=True)
        self._published.clear()

    async def look(self) -> None:
        """Find out what a running Envoy has taken of the files. Raises `TargetUnreachable`."""
        for kind in Kind:
            version, resources = self._read(kind)
            agreed = version != "" and await self._version(kind) == version
            self._published[kind] = Published(resources, acknowledged=agreed)

    def differs(self, kind: Kind, resources: dict[str, Resource]) -> bool:
        """Whether publishing these would change anything."""
        known = self._published[kind]
        return not known.acknowledged or known.resources != resources

    async def publish(self, kind: Kind, resources: dict[str, Resource]) -> None:
        """Returns when Envoy works by these resources.

        Raises `GatewayRefused` with Envoy's reason, `TargetUnreachable` when it does not answer. Then some of them
        may be in force, and publishing the former ones again puts that right.
        """
        former = self._published[kind].resources
        refusals = await self._refusals(kind)
        log_end = self._log.stat().st_size
        self._published[kind] = Published(former, acknowledged=False)
        version = self._write(kind, resources.values())
        pause = 0.001
        with anyio.move_on_after(_PATIENCE):
            while await self._version(kind) != version:
                if await self._refusals(kind) > refusals:
                    raise GatewayRefused("cannot change the gateway", self._reason(log_end), address=str(kind))
                await anyio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
            self._published[kind] = Published(resources, acknowledged=True)
        if not self._published[kind].acknowledged:
            raise GatewayRefused(
                "cannot change the gateway", f"no acknowledgement within {_PATIENCE:.0f} s", address=str(kind)
            )

    async def _version(self, kind: Kind) -> str:
        if kind is Kind.ROUTES:
            return await self._admin.route_version()
        name = f"{_STATISTICS[kind]}.version_text"
        return str((await self._admin.statistics(f"^{re.escape(name)}$")).get(name, ""))

    async def _refusals(self, kind: Kind) -> int:
        pattern = f"^{re.escape(_STATISTICS[kind])}\\.update_(rejected|failure)$"
        return sum(int(count) for count in (await self._admin.statistics(pattern)).values())

    def _write(self, kind: Kind, resources: Iterable[Resource]) -> str:
        version = uuid.uuid4().hex
        if kind is Kind.ROUTES:
            resources = [with_probe(routes, version) for routes in resources]
        staged = self._staged / f"{kind}.json"
        staged.write_text(json.dumps({"version_info": version, "resources": list(resources)}))
        staged.replace(self.file(kind))
        return version

    def _read(self, kind: Kind) -> tuple[str, dict[str, Resource]]:
        try:
            found = json.loads(self.file(kind).read_text())
            resources = {resource["name"]: resource for resource in found["resources"]}
            if kind is Kind.ROUTES:
                resources = {name: without_probe(routes) for name, routes in resources.items()}
            return str(found["version_info"]), resources
        except (OSError, ValueError, KeyError, TypeError):
            return "", {}  # damaged: unknown to everybody, so the next table is published whole

    def _reason(self, log_end: int) -> str:
        with self._log.open("rb") as log:
            log.seek(log_end)
            text = log.read().decode(errors="replace")
        reasons = _REASON.findall(text) or text.splitlines()
        return "\n".join(dict.fromkeys(_unescaped(reason) for reason in reasons)) or "Envoy gave no reason"


def _unescaped(line: str) -> str:
    return line.replace("\\n", "\n").replace("\\'", "'").replace('\\"', '"').strip()
