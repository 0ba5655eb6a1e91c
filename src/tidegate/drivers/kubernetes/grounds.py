"""The namespace of an environment: made at its first change, given back at its end. What somebody else made stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from tidegate.drivers.kubernetes.area import LOOK, Area, is_ending, label
from tidegate.drivers.kubernetes.errors import AlreadyThere, ForbiddenError
from tidegate.drivers.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HPA,
    INGRESS,
    JOB,
    NAMESPACE,
    NETWORK_POLICY,
    PDB,
    POD,
    PVC,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiKind,
)
from tidegate.drivers.kubernetes.names import (
    CLAIM,
    ENVIRONMENT,
    INSTANCE,
    MANAGED_BY,
    ORGANIZATION,
    TIDEGATE,
    fit,
    labels,
)
from tidegate.drivers.kubernetes.objects.environment import environment_objects
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.errors import TargetError

Json = dict[str, Any]
GONE = 120.0  # seconds that a namespace may take to go
PLAIN: Sequence[ApiKind] = (DEPLOYMENT, SERVICE, PDB, HPA, INGRESS, NETWORK_POLICY, SERVICE_ACCOUNT, CONFIG_MAP)
LASTING: Sequence[ApiKind] = (JOB, PVC)  # what was run, and data: they outlive a plain `down`
FOREIGN: Sequence[ApiKind] = (*PLAIN, *LASTING, POD, SECRET)
OF_CLUSTER = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}  # every namespace has these


class Grounds:
    """The namespace of one environment of an organization."""

    def __init__(self, area: Area, organization: str) -> None:
        self._area = area
        self._organization = organization

    async def check_owner(self) -> None:
        """Raises `TargetError` if the namespace is another environment of Tidegate."""
        found = await self._area.api.get(NAMESPACE, self._area.namespace)
        if found is not None and not is_ending(found):
            self._refuse_other(found)

    async def begin(self) -> None:
        """The namespace is there, and closed to others. One that somebody else made is used as it is.

        Raises `TargetError` if it belongs to another environment.
        """
        api, name = self._area.api, self._area.namespace
        found = await self._settled()
        objects = environment_objects(name, self._area.environment, self._organization)
        own = [each for each in objects if each["kind"] == "Namespace"]
        if found is None:
            try:
                await api.create(own[0])
            except AlreadyThere:
                found = await api.get(NAMESPACE, name)
        elif self.is_ours(found):
            await api.apply(own[0])
        async with side_by_side() as tasks:
            for each in objects:
                if each not in own:
                    tasks.start_soon(api.apply, each)

    async def forget(self, *, data: bool) -> None:
        """See `Target.forget`. Raises `TargetError` while there are groups."""
        area, api, name = self._area, self._area.api, self._area.namespace
        namespace = await api.get(NAMESPACE, name)
        if namespace is None or is_ending(namespace):
            await self._settled()
            return
        await self._refuse_groups()
        for kind in (*PLAIN, *(LASTING if data else ())):
            await self._delete_ours(kind)
        left = [each for kind in LASTING for each in (await api.list(kind, name, labels(area.environment))).items]
        if left and not data:
            return  # the claim stays with the data, so that no other store takes them for its own
        await self._until_gone(LASTING)
        await api.delete(CONFIG_MAP, CLAIM, name)
        if self.is_ours(namespace) and not await self._foreign():
            await api.delete(NAMESPACE, name, version="")
            await self._settled()

    async def _settled(self) -> Json | None:
        """The namespace, once it is not on its way out. Raises `TargetError` if it does not go, or is another's."""
        api, name = self._area.api, self._area.namespace
        for _ in range(int(GONE / LOOK)):
            found = await api.get(NAMESPACE, name)
            if found is None or not is_ending(found):
                if found is not None:
                    self._refuse_other(found)
                return found
            await anyio.sleep(LOOK)
        raise TargetError(
            f"cannot use the namespace {name}",
            f"It was deleted, and is not gone after {GONE:g} s.",
            hint=f"Look at what holds it: kubectl get namespace {name} -o yaml",
            address=self._area.environment,
        )

    def is_ours(self, namespace: Mapping[str, Any]) -> bool:
        """Whether Tidegate made a namespace."""
        return label(namespace, MANAGED_BY) == TIDEGATE

    def _refuse_other(self, namespace: Mapping[str, Any]) -> None:
        if not self.is_ours(namespace):
            return
        found = (label(namespace, ORGANIZATION), label(namespace, ENVIRONMENT))
        if found != (fit(self._organization), fit(self._area.environment)):
            raise TargetError(
                f"cannot use the namespace {self._area.namespace}",
                f"It is the environment {found[1]} of {found[0]}.",
                hint="Write another `namespace:` into the target.",
                address=self._area.environment,
            )

    async def _refuse_groups(self) -> None:
        area = self._area
        found = await area.api.list(DEPLOYMENT, area.namespace, labels(area.environment, role=INSTANCE))
        if found.items:
            names = sorted(each["metadata"]["name"] for each in found.items)
            raise TargetError(
                f"cannot forget {area.environment}",
                f"{len(names)} instance groups are still there: {', '.join(names)}",
                hint="Retire them first.",
            )

    async def _delete_ours(self, kind: ApiKind) -> None:
        api, name = self._area.api, self._area.namespace
        for each in (await api.list(kind, name, labels(self._area.environment))).items:
            if (kind, each["metadata"]["name"]) != (CONFIG_MAP, CLAIM):
                await api.delete(kind, each["metadata"]["name"], name, foreground=kind in {DEPLOYMENT, JOB})

    async def _until_gone(self, kinds: Sequence[ApiKind]) -> None:
        area = self._area
        for _ in range(int(GONE / LOOK)):
            for kind in (*kinds, POD):
                if (await area.api.list(kind, area.namespace, labels(area.environment))).items:
                    break
            else:
                return
            await anyio.sleep(LOOK)

    async def _foreign(self) -> bool:
        """Whether anything lives there that is not of this environment, of all kinds that programs and people use.

        True also where we may not look.
        """
        api, name = self._area.api, self._area.namespace
        for kind in FOREIGN:
            try:
                found = (await api.list(kind, name)).items
            except ForbiddenError:
                return True
            for each in found:
                of_cluster = (kind.kind, each["metadata"]["name"]) in OF_CLUSTER
                ours = label(each, MANAGED_BY) == TIDEGATE and label(each, ENVIRONMENT) == fit(self._area.environment)
                if not (of_cluster or ours or _made_by_ours(each)):
                    return True
        return False


def _made_by_ours(obj: Mapping[str, Any]) -> bool:
    """Pods of our Deployments carry our label; what the cluster made for others names its owner."""
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("kind") in {"ReplicaSet", "Job", "Service"} for owner in owners)
