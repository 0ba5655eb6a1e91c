"""Waiting for a Job, with the reason when it cannot even begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.drivers.kubernetes.area import LOOK, Area, label
from tidegate.drivers.kubernetes.client import ConflictError
from tidegate.drivers.kubernetes.diagnosis import Verdict
from tidegate.drivers.kubernetes.kinds import JOB, POD
from tidegate.drivers.kubernetes.names import PROGRAM
from tidegate.drivers.kubernetes.run_records import JOB_NAME, Ending, began, ending
from tidegate.model.observed import RunState

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a Job ended. `ending.state` None: it never began; then `verdict` says why, if it was given up for that.
    `log` are its last lines, `sure` whether the Job alone says all of this."""

    ending: Ending
    log: tuple[str, ...] = ()
    verdict: Verdict | None = None
    sure: bool = True


class JobWatch:
    """Waits for Jobs in one environment."""

    def __init__(self, area: Area) -> None:
        self._area = area

    async def let_go(self, name: str, check: Callable[[], Any]) -> bool:
        """Let a Job begin that was made suspended, if nobody touched it since `check` (awaited) said that we may.

        Returns whether it is there. Raises what `check` raises.
        """
        return await self._suspended(name, False, check)

    async def end(self, name: str, check_seen: Callable[[], None]) -> Ended:
        """Wait until the Job has ended, or surely will not begin: then it is held back, for good.

        `check_seen` is called at every look; what it raises ends the waiting. The Job itself has a deadline.
        """
        area = self._area
        there = False

        def over() -> bool | None:
            nonlocal there
            check_seen()
            job = area.mirror.objects(JOB).get(name)
            if job is None:
                return True if there else None
            there = True
            state = ending(job, None).state
            return True if state is not None and state is not RunState.RUNNING else None

        while await area.until(over, seconds=LOOK) is None:
            job = await area.api.get(JOB, name, area.namespace) if not there else area.mirror.objects(JOB).get(name)
            if job is None:
                break
            if job["spec"].get("suspend"):
                fresh = await area.api.get(JOB, name, area.namespace)
                if fresh is None or fresh["spec"].get("suspend"):
                    break  # somebody held it back
                continue
            pods = self._pods(name)
            if any(began(pod) for pod in pods):
                continue
            verdict = await area.verdict(job, pods)
            if verdict is not None and verdict.certain:
                return await self._given_up(name, verdict)
        return await self._seen(name)

    async def _given_up(self, name: str, verdict: Verdict) -> Ended:
        """Hold it back, and look whether it began in the last moment."""
        area = self._area
        begun = False

        def gone() -> bool | None:
            nonlocal begun
            pods = self._pods(name)
            begun = begun or any(began(pod) for pod in pods)
            return True if not pods else None

        await self._suspended(name, True, None)
        while await area.until(gone, seconds=LOOK) is None:
            pass
        if begun:
            return Ended(Ending(RunState.INTERRUPTED, None, f"was ended in the middle: {verdict.reason}"), sure=False)
        return Ended(Ending(None), verdict=verdict)

    async def _suspended(self, name: str, wanted: bool, check: Callable[[], Any] | None) -> bool:
        area = self._area
        while True:
            job = await area.api.get(JOB, name, area.namespace)
            if check is not None:
                await check()
            if job is None:
                return False
            if bool(job["spec"].get("suspend")) is wanted:
                return True
            version = job["metadata"]["resourceVersion"]
            try:
                await area.api.patch(JOB, name, area.namespace, {"spec": {"suspend": wanted}}, version=version)
            except ConflictError as error:
                if not error.stale:
                    raise
            else:
                return True

    async def _seen(self, name: str) -> Ended:
        """Asked afresh: of a pod's last moments the Job may be told before we are."""
        area = self._area
        job = await area.api.get(JOB, name, area.namespace)
        if job is None:
            return Ended(Ending(RunState.INTERRUPTED, None, "was removed by somebody in the middle"))
        pod = newest((await area.api.list(POD, area.namespace, {JOB_NAME: name})).items)
        said = ending(job, pod)
        log: tuple[str, ...] = ()
        if pod is not None and said.state is not RunState.DONE:
            log = await area.last_words(pod["metadata"]["name"], PROGRAM, previous=False)
        return Ended(said, log, sure=said == ending(job, None))

    def _pods(self, name: str) -> list[Json]:
        return [pod for pod in self._area.mirror.objects(POD).values() if label(pod, JOB_NAME) == name]


def newest(pods: Sequence[Json]) -> Json | None:
    """The pod that was made last."""
    return max(pods, key=_made, default=None)


def _made(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))
