"""From what a step names to what its objects are made of: release, image, settings, secrets, addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tidegate.drivers.kubernetes.area import Area
from tidegate.drivers.kubernetes.kinds import SERVICE
from tidegate.drivers.kubernetes.names import edge_name
from tidegate.drivers.kubernetes.objects.resources import resource_url
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.drivers.kubernetes.observing import pin_of
from tidegate.drivers.releases import ReleaseSource
from tidegate.errors import ArtifactDamaged, ReleaseError, SecretError, StepFailed, TidegateError
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.cluster import Alias
from tidegate.model.pins import Pin, Secret
from tidegate.ports.artifacts import Images
from tidegate.ports.secrets import Secrets

IN_CLUSTER = "kubernetes:"  # secrets that the cluster has already; their values never come here


class Sources:
    """Looks up what the objects of groups and runs are made of."""

    def __init__(self, releases: ReleaseSource, images: Images, secrets: Secrets, organization: str) -> None:
        self._releases = releases
        self._images = images
        self._secrets = secrets
        self._organization = organization
        self._references: dict[str, asyncio.Task[str]] = {}

    async def image(self, component: str, release: str) -> str:
        """The reference of the release's image, in the registry of the place. Asked for once per release.

        Raises `StepFailed`.
        """
        task = self._references.get(release)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._references[release] = asyncio.create_task(self._reference(component, release))
        try:
            return await asyncio.shield(task)
        except ReleaseError as error:
            raise _failed("prepare", component, error) from error

    async def of_group(
        self,
        area: Area,
        group: GroupAddress,
        pin: Pin,
        edges: Mapping[str, GroupAddress | None],
        *,
        pins: Mapping[GroupAddress, Pin] | None = None,
    ) -> GroupSource:
        """Everything but values of secrets. `pins` are those of groups that are not there yet. Raises `StepFailed`."""
        release, image = await asyncio.gather(
            self._releases.release(pin.release), self.image(group.component, pin.release)
        )
        settings = await self._releases.blob(pin.settings) if pin.settings else None
        aliases = {need: aliases_of(area, to, pins or {}) for need, to in edges.items()}
        return GroupSource(
            group=group,
            pin=pin,
            release=release,
            image=image,
            settings=settings,
            edges=edges,
            resources={name: resource_url(area.namespace, name, resource) for name, resource in pin.shape.resources},
            organization=self._organization,
            aliases=aliases,
            addresses={need: _cluster_ip(area, group, need) for need in edges if aliases[need]},
        )

    def values(self, component: str, pin: Pin) -> dict[str, str]:
        """The values of secrets that the cluster has not: variable -> value. Raises `StepFailed`."""
        found = {}
        for name, value in pin.shape.env:
            if isinstance(value, Secret) and not value.reference.startswith(IN_CLUSTER):
                try:
                    found[name] = self._secrets.resolve(value)
                except SecretError as error:
                    raise _failed("start", component, error) from error
        return found

    def close(self) -> None:
        """Nothing is asked for any more."""
        for task in self._references.values():
            task.cancel()
        self._references.clear()

    async def _reference(self, component: str, release: str) -> str:
        artifact = self._images.choose(await self._releases.artifacts(release))
        if artifact is None:
            raise ArtifactDamaged(
                "cannot use the release",
                f"There is no image of {release}.",
                hint=f"Make it: tidegate release {component}",
            )
        return await self._images.reference(artifact, component)


def aliases_of(
    area: Area, group: GroupAddress | None, pins: Mapping[GroupAddress, Pin] | None = None
) -> tuple[Alias, ...]:
    """Other names of the component that a group is of."""
    if group is None:
        return ()
    deployment = area.deployment(group)
    pin = (pins or {}).get(group) or (pin_of(deployment) if deployment else None)
    return pin.shape.cluster.aliases if pin and pin.shape.cluster else ()


def _cluster_ip(area: Area, group: GroupAddress, need: str) -> str:
    service = area.mirror.objects(SERVICE).get(edge_name(EdgeAddress(group, need)))
    return str(service["spec"].get("clusterIP", "")) if service else ""


def _failed(what: str, component: str, error: TidegateError) -> StepFailed:
    detail = f"{error.summary}: {error.detail}" if error.detail else error.summary
    return StepFailed(f"cannot {what} {component}", detail, component=component, hint=error.hint)
