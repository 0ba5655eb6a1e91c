"""Verify: the command of a component against its candidate, from inside the cluster, unseen by users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from tidegate.drivers.kubernetes.area import Area, is_ready
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.commands import begin, command_job
from tidegate.drivers.kubernetes.job_watch import JobWatch
from tidegate.drivers.kubernetes.kinds import JOB
from tidegate.drivers.kubernetes.names import EPOCH, GROUP_ADDRESS, PROXY_PORT, edge_name, fit, group_to_json, to_text
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.drivers.kubernetes.observing import pin_of
from tidegate.drivers.kubernetes.sources import Sources
from tidegate.errors import StepFailed
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.observed import RunState
from tidegate.model.step import Verify
from tidegate.ports.target import Epoch

VERIFY = "verify"  # the role of its Jobs
PATIENCE = 60_000  # milliseconds that the command may take
FORGOTTEN = 600  # seconds after which the cluster removes what a vanished executor left


class Verifying:
    """Checks candidates in one environment. `proxy` is the image that stands before services, "" for none."""

    def __init__(self, area: Area, claims: Claims, sources: Sources, proxy: str) -> None:
        self._area = area
        self._claims = claims
        self._sources = sources
        self._proxy = proxy
        self._watch = JobWatch(area)

    async def verify(self, step: Verify, epoch: Epoch) -> None:
        """See `Verify`. Raises `StepFailed` with the last words of the command, `OldEpoch`, `TargetError`."""
        area, group = self._area, step.group
        await area.mirror.ready()
        deployment = area.deployment(group)
        if deployment is None:
            raise _failed(group, f"{group.name} does not run.")
        source = await self._sources.of_group(area, group, pin_of(deployment), {})
        command = source.release.runtime.verify
        if command is None:
            return
        name = fit(f"{group.name}-verify-{epoch.number}")
        needs = {need: f"http://{edge_name(EdgeAddress(group, need))}" for need in source.release.runtime.needs}
        notes = {GROUP_ADDRESS: to_text(group_to_json(group)), EPOCH: str(epoch.number)}
        job = command_job(
            area,
            name,
            source,
            command,
            role=VERIFY,
            annotations=notes,
            timeout=PATIENCE,
            needs=needs,
            env=self._url(group, source),
        )
        job["spec"]["ttlSecondsAfterFinished"] = FORGOTTEN
        job["metadata"]["ownerReferences"] = [_owner(deployment)]
        await self._claims.check(epoch)
        await self._gone(name)
        try:
            await begin(area, job, source, self._sources.values(group.component, source.pin))
            await self._watch.let_go(name, lambda: self._claims.check(epoch))
            ended = await self._watch.end(name, lambda: self._claims.check_seen(epoch))
        finally:
            with anyio.CancelScope(shield=True):
                await area.api.delete(JOB, name, area.namespace)
        if ended.verdict is not None:
            raise await area.failure("verify", group.component, ended.verdict)
        if ended.ending.state is not RunState.DONE:
            raise _failed(group, f"`{command}` {ended.ending.reason}", ended.log)

    def _url(self, group: GroupAddress, source: GroupSource) -> dict[str, str]:
        if not source.port:
            return {}
        ready = [pod for pod in self._area.pods(group) if is_ready(pod) and pod["status"].get("podIP")]
        if not ready:
            raise _failed(group, f"{group.name} has no healthy instance.")
        host = str(ready[0]["status"]["podIP"])
        port = PROXY_PORT if source.proxied(self._proxy) else source.port
        return {"TIDEGATE_URL": f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"}

    async def _gone(self, name: str) -> None:
        """What an executor that was killed left of the same check."""
        area = self._area
        while await area.api.delete(JOB, name, area.namespace, foreground=True):
            await area.until(lambda: None, seconds=0.2)


def _owner(deployment: Mapping[str, Any]) -> dict[str, Any]:
    metadata = deployment["metadata"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}


def _failed(group: GroupAddress, detail: str, log: tuple[str, ...] = ()) -> StepFailed:
    return StepFailed(
        f"cannot verify {group.component}", detail, component=group.component, instance=group.name, log=log
    )
