"""Who may change an environment: the claim that lies in its namespace.

ConfigMap `tidegate-claim`, `data`: `store` (identity of the store that alone says which revision is current) and
`epochs` (JSON: component -> `{"epoch", "plan", "holder"}`). Everything that is written later rests on versions that
were read before this was checked, and whoever takes a younger epoch touches all objects of its components first. So
what a former holder sends late is refused by the API server (409).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio

from tidegate.drivers.kubernetes.area import Area, label
from tidegate.drivers.kubernetes.errors import AlreadyThere, ConflictError
from tidegate.drivers.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, JOB, SERVICE, ApiKind
from tidegate.drivers.kubernetes.names import CLAIM, COMPONENT, ENVIRONMENT, EPOCH, fit, labels
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.errors import OldEpoch, TargetError
from tidegate.ports.target import Epoch

Json = dict[str, Any]
STORE, EPOCHS = "store", "epochs"


class Claims:
    """The claims of one environment, for one store. `found` makes the place that they lie in."""

    def __init__(self, area: Area, store: Callable[[], Awaitable[str]], found: Callable[[], Awaitable[None]]) -> None:
        self._area = area
        self._store = store
        self._found = found
        self._taken: dict[Epoch, None] = {}
        self._taking = anyio.Lock()

    async def check_store(self) -> None:
        """Ask whether this store is the one that may change the environment. Raises `TargetError`."""
        found = await self._area.api.get(CONFIG_MAP, CLAIM, self._area.namespace)
        if found is not None:
            await self._refuse_other_store(found)

    async def take(self, epoch: Epoch) -> None:
        """From here on nobody with an older epoch changes these components.

        Raises `OldEpoch`, and `TargetError` if the namespace belongs to another store; then nothing was changed.
        """
        if epoch in self._taken:
            await self.check(epoch)
            return
        async with self._taking:
            while epoch not in self._taken:
                if await self._take(epoch):
                    self._taken[epoch] = None

    async def check(self, epoch: Epoch) -> None:
        """Ask who has the components now. Raises `OldEpoch`, `TargetError`."""
        found = await self._area.api.get(CONFIG_MAP, CLAIM, self._area.namespace)
        await self._judge(epoch, found)

    def check_seen(self, epoch: Epoch) -> None:
        """As `check`, by what was seen last: for those who wait. Raises `OldEpoch`."""
        found = self._area.mirror.objects(CONFIG_MAP).get(CLAIM)
        if found is not None:
            _refuse_old(epoch, _epochs(found))

    async def forget(self) -> None:
        """Numbers of epochs begin anew; the namespace stays with this store."""
        found = await self._area.api.get(CONFIG_MAP, CLAIM, self._area.namespace)
        self._taken.clear()
        if found is not None and _said(found).get(STORE) == await self._store():
            await self._area.api.replace(_claim(self._area, await self._store(), {}, _version(found)))

    async def _take(self, epoch: Epoch) -> bool:
        api, namespace = self._area.api, self._area.namespace
        store = await self._store()
        found = await api.get(CONFIG_MAP, CLAIM, namespace)
        mine = {"epoch": epoch.number, "plan": epoch.plan, "holder": epoch.holder}
        try:
            if found is None:
                await self._found()
                await api.create(_claim(self._area, store, dict.fromkeys(epoch.components, mine)))
                return True
            await self._judge(epoch, found)
            epochs = _epochs(found)
            if any(epochs.get(name) != mine for name in epoch.components):
                epochs |= dict.fromkeys(epoch.components, mine)
                await api.replace(_claim(self._area, store, epochs, _version(found)))
            await self._touch(epoch)
        except AlreadyThere:
            return False
        except ConflictError as error:
            if error.stale:
                return False
            raise
        return True

    async def _judge(self, epoch: Epoch, found: Json | None) -> None:
        namespace = self._area.namespace
        if found is None:
            if epoch in self._taken:
                raise OldEpoch(
                    f"cannot change {', '.join(epoch.components)}",
                    f"Somebody removed the ConfigMap {CLAIM} from the namespace {namespace} in the middle of this.",
                    component=epoch.components[0] if epoch.components else "",
                    hint="Look at `tidegate status` before you go on.",
                )
            return
        await self._refuse_other_store(found)
        _refuse_old(epoch, _epochs(found))

    async def _refuse_other_store(self, found: Json) -> None:
        environment, namespace = self._area.environment, self._area.namespace
        other = label(found, ENVIRONMENT)
        if other != fit(environment):
            raise TargetError(
                f"cannot use the namespace {namespace}",
                f"It is the environment {other}.",
                hint="Write another `namespace:` into the target.",
                address=environment,
            )
        if _said(found).get(STORE) != await self._store():
            raise TargetError(
                f"cannot change {environment}",
                f"The namespace {namespace} is changed by another store of Tidegate ({_said(found).get(STORE)})"
                + _last(_epochs(found))
                + ".",
                hint="Use that store (`store:` in tidegate.yaml), or another `namespace:`. If it is gone for good: "
                f"kubectl -n {namespace} delete configmap {CLAIM}",
                address=environment,
            )

    async def _touch(self, epoch: Epoch) -> None:
        """So that nothing can be written any more that rests on what was read before."""
        api, namespace = self._area.api, self._area.namespace
        stamp = {"metadata": {"annotations": {EPOCH: str(epoch.number)}}}
        wanted = labels(epoch.environment)
        touched = {fit(component) for component in epoch.components}
        async with side_by_side() as tasks:

            async def touch(kind: ApiKind) -> None:
                for each in (await api.list(kind, namespace, wanted)).items:
                    begun = kind is JOB and not each["spec"].get("suspend")
                    if each["metadata"]["labels"].get(COMPONENT) in touched and not begun:
                        tasks.start_soon(_stamp, self._area, kind, each["metadata"]["name"], stamp)

            for kind in (DEPLOYMENT, SERVICE, JOB):  # side by side: all changes of a plan wait for each other here
                tasks.start_soon(touch, kind)


async def _stamp(area: Area, kind: Any, name: str, stamp: Json) -> None:
    await area.api.patch(kind, name, area.namespace, stamp, missing_ok=True)  # it may have gone, which is as good


def _refuse_old(epoch: Epoch, epochs: Mapping[str, Mapping[str, Any]]) -> None:
    for component in epoch.components:
        other = epochs.get(component)
        if other is not None and other["epoch"] > epoch.number:
            raise OldEpoch(
                f"cannot change {component}",
                f"Epoch {other['epoch']} of {epoch.environment} has it"
                + (f" ({other['holder']})" if other["holder"] else "")
                + f"; this command works under {epoch.number}.",
                component=component,
                hint="Somebody took over. Look at `tidegate status` before you go on.",
            )


def _last(epochs: Mapping[str, Mapping[str, Any]]) -> str:
    youngest = max(epochs.values(), key=lambda each: int(each["epoch"]), default=None)
    if youngest is None:
        return ""
    return f", last by {youngest['holder']} with plan {youngest['plan']} (epoch {youngest['epoch']})"


def _claim(area: Area, store: str, epochs: Mapping[str, Any], version: str = "") -> Json:
    metadata: Json = {"name": CLAIM, "namespace": area.namespace, "labels": labels(area.environment)}
    if version:
        metadata["resourceVersion"] = version
    data = {STORE: store, EPOCHS: json.dumps(epochs, separators=(",", ":"), sort_keys=True)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _said(found: Json) -> Json:
    """What the claim says; nothing where somebody emptied it, so that it is nobody's of ours."""
    return found.get("data") or {}


def _epochs(found: Json) -> dict[str, dict[str, Any]]:
    try:
        epochs = json.loads(_said(found)[EPOCHS])
        return {str(name): {**each, "epoch": int(each["epoch"])} for name, each in epochs.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise TargetError(
            f"cannot read the ConfigMap {CLAIM} of {found['metadata'].get('namespace', '')}",
            "Somebody wrote into it by hand.",
            hint="Put it back, or, if nobody changes the environment now, delete it.",
        ) from error


def _version(found: Json) -> str:
    return str(found["metadata"]["resourceVersion"])
