"""Route: entries and edges are Services, and move by their selector.

Edges move first, entries last, each on condition that nobody touched it since it was read. Then what the nodes go by is
waited for: the EndpointSlices of every Service that moved hold instances of the new group only. From then on nothing is
led to the old groups but by nodes that are a second behind; those instances still answer, so nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio

from tidegate.drivers.kubernetes.area import LOOK, Area, is_ready, label
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.errors import AlreadyThere, ConflictError, MissingError
from tidegate.drivers.kubernetes.kinds import (
    ENDPOINT_SLICE,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    SERVICE,
    ApiKind,
    kind_of,
)
from tidegate.drivers.kubernetes.names import ALIAS, COMPONENT, ENTRY, ROLE, component_name, edge_name, fit, labels
from tidegate.drivers.kubernetes.objects.services import edge_object, entry_objects
from tidegate.drivers.kubernetes.observing import pin_of
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.drivers.kubernetes.sources import aliases_of
from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress
from tidegate.model.step import Route
from tidegate.ports.target import Epoch

Json = dict[str, Any]
Key = tuple[ApiKind, str]  # kind and name
SWITCHED = 60.0  # seconds until the EndpointSlices have to say so
FOLLOWED = 1.0  # seconds within which nodes do what those say (minSyncPeriod of kube-proxy); nobody tells when they did
ENTRY_KINDS = (SERVICE, INGRESS, HTTP_ROUTE, NETWORK_POLICY)
ENTRY_ROLES = {ENTRY, ALIAS}
SERVICE_OF_SLICE = "kubernetes.io/service-name"


class Switching:
    """Moves traffic in one environment."""

    def __init__(self, area: Area, claims: Claims) -> None:
        self._area = area
        self._claims = claims

    async def route(self, step: Route, epoch: Epoch) -> None:
        """See `Route`. Raises `StepFailed` for a group that is not there, `OldEpoch`, `TargetError`.

        When it fails in the middle some moves are made: `observe` tells which, and to route again completes them.
        """
        groups = await self._groups(step)
        present = await self._present()
        edges = [
            edge_object(self._area.namespace, move.edge, move.to, aliases=aliases_of(self._area, move.to))
            for move in step.edges
            if (SERVICE, edge_name(move.edge)) in present
        ]
        entries, gone = [], []
        for entry in step.entries:
            own = self._of_entry(present, entry.component)
            made = self._objects(entry.component, entry.to, groups[entry.to]) if entry.to else []
            entries += made
            gone += [key for key in own if key not in {_key(each) for each in made}]
        await self._move(edges, present, epoch)
        await self._move(entries, present, epoch)
        await self._claims.check(epoch)
        async with side_by_side() as tasks:
            for kind, name in gone:
                tasks.start_soon(self._area.api.delete, kind, name, self._area.namespace)
        moved = {edge_name(move.edge): move.to for move in step.edges if move.to}
        moved |= {component_name(entry.component): entry.to for entry in step.entries if entry.to}
        await self._complete(moved, epoch)

    async def _groups(self, step: Route) -> dict[GroupAddress, Json]:
        """The Deployments that something is to lead to."""
        wanted = {to for to in (*(move.to for move in step.entries), *(move.to for move in step.edges)) if to}
        await self._area.mirror.ready()
        found = {}
        for group in wanted:
            deployment = self._area.deployment(group)
            if deployment is None:
                raise StepFailed(
                    f"cannot move traffic of {group.component}", f"{group} does not run.", component=group.component
                )
            found[group] = deployment
        return found

    async def _present(self) -> dict[Key, Json]:
        """All entries, edges and what belongs to them, with the versions that the moves rest on."""
        api, wanted = self._area.api, labels(self._area.environment)
        found: dict[Key, Json] = {}

        async def look(kind: ApiKind) -> None:
            with suppress(MissingError):  # not every cluster has gateways
                for each in (await api.list(kind, self._area.namespace, wanted)).items:
                    found[kind, each["metadata"]["name"]] = each

        async with side_by_side() as tasks:
            for kind in ENTRY_KINDS:
                tasks.start_soon(look, kind)
        return found

    def _objects(self, component: str, to: GroupAddress, deployment: Json) -> list[Json]:
        return entry_objects(self._area.namespace, component, to, pin_of(deployment))

    def _of_entry(self, present: Mapping[Key, Json], component: str) -> list[Key]:
        return [
            key
            for key, each in present.items()
            if label(each, COMPONENT) == fit(component) and label(each, ROLE) in ENTRY_ROLES
        ]

    async def _move(self, objects: Sequence[Json], present: Mapping[Key, Json], epoch: Epoch) -> None:
        if not objects:
            return
        await self._claims.check(epoch)  # after the versions were read: see `tidegate.drivers.kubernetes.claims`
        async with side_by_side() as tasks:
            for each in objects:
                tasks.start_soon(self._put, each, present.get(_key(each)), epoch)

    async def _put(self, wanted: Json, found: Json | None, epoch: Epoch) -> None:
        api = self._area.api
        while True:
            try:
                await self._area.put(wanted, found=found)
            except AlreadyThere:
                pass
            except ConflictError as error:
                if not error.stale:
                    raise
            else:
                return
            kind, name = _key(wanted)
            found = await api.get(kind, name, self._area.namespace)
            await self._claims.check(epoch)

    async def _complete(self, moved: Mapping[str, GroupAddress], epoch: Epoch) -> None:
        """Wait until what the nodes go by holds ready instances of the new groups, all of them and no others."""
        waiting = dict(moved)

        def done() -> bool | None:
            self._claims.check_seen(epoch)
            for name, group in list(waiting.items()):
                wanted = {pod["metadata"]["name"] for pod in self._area.pods(group) if is_ready(pod)}
                if wanted and self._behind(name) == wanted:
                    del waiting[name]
            return None if waiting else True

        for _ in range(int(SWITCHED / LOOK)):
            if await self._area.until(done, seconds=LOOK):
                await anyio.sleep(FOLLOWED if moved else 0)
                return
        name, group = next(iter(waiting.items()))
        raise StepFailed(
            f"cannot move traffic of {group.component}",
            f"After {SWITCHED:g} s the Service {name} does not lead to the healthy instances of {group.name}, but to "
            f"{', '.join(sorted(self._behind(name))) or 'none'}.",
            component=group.component,
        )

    def _behind(self, service: str) -> set[str]:
        """The pods that a Service leads to now."""
        return {
            endpoint.get("targetRef", {}).get("name", "")
            for each in self._area.mirror.objects(ENDPOINT_SLICE).values()
            if label(each, SERVICE_OF_SLICE) == service
            for endpoint in each.get("endpoints") or []
            if endpoint.get("conditions", {}).get("ready", True)
        }


def _key(obj: Mapping[str, Any]) -> Key:
    return kind_of(obj), obj["metadata"]["name"]
