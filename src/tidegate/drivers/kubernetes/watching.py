"""Observe: after the switch, what users get decides.

Answers are counted by the proxies that stand before the instances. Of several groups that answer with errors, the one
is at fault behind which none does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from tidegate.drivers.kubernetes.area import Area, is_ready
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.names import PROGRAM, STATS_PORT, leads_to
from tidegate.drivers.kubernetes.objects.proxy import STATS_PATH
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.drivers.kubernetes.traffic import NONE, Traffic, is_proxied, traffic_of
from tidegate.errors import StepFailed, TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.model.step import Observe
from tidegate.ports.target import Epoch

LOOK = 0.5
AT_ONCE = 32  # proxies that are asked side by side
ENOUGH_ERRORS = 5
"""So many answers 5xx end the observation early; fewer are judged at its end."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the proxies of one group have counted, by instance."""

    by_pod: Mapping[str, Traffic]

    def since(self, before: Counted) -> Traffic:
        """What came after `before`. An instance that counts less than it did began anew."""
        answers = errors = 0
        for name, now in self.by_pod.items():
            then = before.by_pod.get(name)
            if then is None or now.answers < then.answers:
                then = NONE
            answers += now.answers - then.answers
            errors += now.errors - then.errors
        return Traffic(answers, errors, 0)


class Watching:
    """Looks after groups that were just given traffic."""

    def __init__(self, area: Area, claims: Claims) -> None:
        self._area = area
        self._claims = claims

    async def observe(self, step: Observe, epoch: Epoch) -> None:
        """Nothing of the change failed for `step.seconds`. Raises `StepFailed` as soon as something did."""
        await self._area.mirror.ready()
        restarts = {group: self._restarts(group) for group in step.groups}
        before = await self._counted(step.groups)
        end = time.monotonic() + step.seconds
        while (left := end - time.monotonic()) > 0:
            self._claims.check_seen(epoch)
            await self._check_instances(step, restarts)
            await anyio.sleep(min(LOOK, left))
            self._check_answers(step, before, await self._counted(step.groups), enough=ENOUGH_ERRORS)
        await self._check_instances(step, restarts)
        self._check_answers(step, before, await self._counted(step.groups), enough=1)

    def _restarts(self, group: GroupAddress) -> int:
        return sum(
            status.get("restartCount", 0)
            for pod in self._area.pods(group)
            for status in pod.get("status", {}).get("containerStatuses", [])
        )

    async def _check_instances(self, step: Observe, restarts: Mapping[GroupAddress, int]) -> None:
        for group in step.groups:
            deployment, pods = self._area.deployment(group), self._area.pods(group)
            if deployment is None:
                raise StepFailed(
                    f"cannot keep {group.component}", f"{group.name} does not run.", component=group.component
                )
            shaken = self._restarts(group) > restarts[group]
            if not shaken and all(is_ready(pod) or "deletionTimestamp" in pod["metadata"] for pod in pods):
                continue
            verdict = await self._area.verdict(deployment, pods)
            if verdict is not None:
                raise await self._area.failure("keep", group.component, verdict)
            unwell = next((pod["metadata"]["name"] for pod in pods if shaken or not is_ready(pod)), "")
            raise StepFailed(
                f"cannot keep {group.component}",
                "An instance ended and was started again." if shaken else "An instance failed its check.",
                component=group.component,
                instance=unwell,
                log=await self._area.last_words(unwell, PROGRAM, previous=shaken) if unwell else (),
            )

    async def _counted(self, groups: tuple[GroupAddress, ...]) -> dict[GroupAddress, Counted]:
        found: dict[GroupAddress, dict[str, Traffic]] = {group: {} for group in groups}
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def ask(group: GroupAddress, name: str) -> None:
            async with limit:
                try:
                    text = await self._area.api.pod_request(self._area.namespace, name, STATS_PORT, "GET", STATS_PATH)
                except TargetUnreachable:
                    raise
                except TargetError:
                    return  # it has just gone; its instance is judged by itself
            found[group][name] = traffic_of(text)

        async with side_by_side() as tasks:
            for group in groups:
                for pod in self._area.pods(group):
                    if is_ready(pod) and is_proxied(pod):
                        tasks.start_soon(ask, group, pod["metadata"]["name"])
        return {group: Counted(by_pod) for group, by_pod in found.items()}

    def _check_answers(
        self,
        step: Observe,
        before: Mapping[GroupAddress, Counted],
        now: Mapping[GroupAddress, Counted],
        *,
        enough: int,
    ) -> None:
        seen = {group: now[group].since(before[group]) for group in step.groups}
        failing = [
            group
            for group, traffic in seen.items()
            if traffic.errors >= enough and traffic.errors * 10_000 > traffic.answers * step.max_errors
        ]
        if not failing:
            return
        # In a ring every group has a failing one behind it; then the first is as good as any.
        fault = next((group for group in failing if not self._behind(group).intersection(failing)), failing[0])
        traffic = seen[fault]
        raise StepFailed(
            f"cannot keep {fault.component}",
            f"{traffic.errors} of its {traffic.answers} answers were errors (5xx); {step.max_errors / 100:g} % are "
            "allowed.",
            component=fault.component,
            instance=next((pod["metadata"]["name"] for pod in self._area.pods(fault)), ""),
        )

    def _behind(self, group: GroupAddress) -> set[GroupAddress]:
        """The groups that a group calls."""
        return {
            called
            for service in self._area.edges_of(group)
            if (called := leads_to(service)) is not None and called != group
        }
