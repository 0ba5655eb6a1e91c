"""What is known of runs: read from their Jobs, which are the only record. Pure.

Each attempt is a Job of its own, `NAME-1`, `NAME-2` and so on; an attempt to take the run back is one as well. Its name
is free once only, so two executors never begin the same attempt. Read in their order they say what became of the run.
A Job is made suspended: what was never let go did not begin, and says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.drivers.kubernetes.names import ASSUMED, PIN, RUN_ADDRESS, fit
from tidegate.errors import StoreError, TargetError
from tidegate.model.address import RunAddress
from tidegate.model.encoding import pin_from_json, run_address_from_json
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.pins import Pin

Json = dict[str, Any]

ATTEMPT = "tidegate.dev/attempt"  # annotation: the number of the attempt, from 1
UNDOES = "tidegate.dev/undoes"  # annotation, "true": this attempt takes the run back
ENDED = "tidegate.dev/ended"  # annotation: JSON of `Ending`, where its pod told more than the Job does
NEVER = "never"  # value of `ASSUMED`, besides those of `RunState`
JOB_NAME = "batch.kubernetes.io/job-name"  # label that the Job controller gives to pods

SIGNALS = range(129, 193)
"""What a shell makes of a signal: nobody knows how far the command came."""
_EXIT = re.compile(r"exit code (\d+)")


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt stands: `state` None means that it never began. `reason` in words, "" while it runs. `assumed`: a
    person said so, and `state` is that of the run."""

    state: RunState | None
    status: int | None = None
    reason: str = ""
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Job. `pod` is the name of its pod ("" if it has none any more), `at` when it was made (ISO 8601), `version`
    its `resourceVersion`."""

    job: str
    run: RunAddress
    number: int
    undoes: bool
    pin: Pin
    ending: Ending
    pod: str = ""
    at: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """All attempts of the runs of one environment or component, each run's in their order."""

    attempts: Mapping[RunAddress, Sequence[Attempt]]

    @property
    def known(self) -> dict[RunAddress, ObservedRun]:
        """What is known of each run; nothing of those that were taken back or never began."""
        found = {}
        for run, attempts in self.attempts.items():
            seen = _folded(run, attempts)
            if seen is not None:
                found[run] = seen
        return found

    @property
    def going(self) -> Attempt | None:
        """One that runs now."""
        for attempts in self.attempts.values():
            for attempt in attempts:
                if attempt.ending.state is RunState.RUNNING:
                    return attempt
        return None

    def last(self, run: RunAddress) -> Attempt | None:
        """The last attempt of a run that began, or of which a person said that it did not."""
        attempts = self.attempts.get(run, ())
        begun = [each for each in attempts if each.ending.state is not None or each.ending.assumed]
        return begun[-1] if begun else None

    def next_number(self, run: RunAddress) -> int:
        """The number of the next attempt."""
        return max((attempt.number for attempt in self.attempts.get(run, ())), default=0) + 1

    def superseded(self, keep: int) -> list[Attempt]:
        """Attempts that say nothing about the present, oldest first, without the newest `keep` of them."""
        old: list[Attempt] = []
        for run, attempts in self.attempts.items():
            ran = [place for place, attempt in enumerate(attempts) if not attempt.undoes]
            first = ran[-1] if ran and _folded(run, attempts) is not None else len(attempts)
            old += [attempt for attempt in attempts[:first] if attempt.ending.state is not RunState.RUNNING]
        old.sort(key=lambda attempt: (attempt.at, attempt.number))
        return old[: max(0, len(old) - keep)]


def book(jobs: Iterable[Json], pods: Iterable[Json]) -> Book:
    """The book of these Jobs and of the pods that they have. Jobs that are no runs are passed over.

    Raises `TargetError` that names the Job whose annotations cannot be read.
    """
    newest: dict[str, Json] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))):
        newest[pod["metadata"].get("labels", {}).get(JOB_NAME, "")] = pod
    found: dict[RunAddress, list[Attempt]] = {}
    for job in jobs:
        if RUN_ADDRESS in job["metadata"].get("annotations", {}):
            attempt = read(job, newest.get(job["metadata"]["name"]))
            found.setdefault(attempt.run, []).append(attempt)
    return Book({run: sorted(attempts, key=lambda attempt: attempt.number) for run, attempts in found.items()})


def known(jobs: Iterable[Json], pods: Iterable[Json]) -> dict[RunAddress, ObservedRun]:
    """What is known of all runs. Raises `TargetError`."""
    return book(jobs, pods).known


def read(job: Json, pod: Json | None) -> Attempt:
    """One attempt, as its Job and, if it is still there, its pod tell. Raises `TargetError`."""
    name, notes = job["metadata"]["name"], job["metadata"].get("annotations", {})
    try:
        return Attempt(
            name,
            run_address_from_json(json.loads(notes[RUN_ADDRESS])),
            int(notes[ATTEMPT]),
            notes.get(UNDOES) == "true",
            pin_from_json(json.loads(notes[PIN])),
            ending(job, pod),
            pod["metadata"]["name"] if pod else "",
            str(job["metadata"].get("creationTimestamp", "")),
            str(job["metadata"].get("resourceVersion", "")),
        )
    except (StoreError, LookupError, TypeError, ValueError) as error:
        raise TargetError(
            f"cannot read the Job {name} of {job['metadata'].get('namespace', '')}",
            f"Its annotations say what ran, and they cannot be understood: {error}",
            hint="Somebody may have changed them, or a newer Tidegate wrote them.",
        ) from error


def ending(job: Json, pod: Json | None) -> Ending:
    """How the attempt of this Job stands. Raises ValueError for an annotation that nobody writes."""
    notes = job["metadata"].get("annotations", {})
    if assumed := notes.get(ASSUMED):
        return Ending(None if assumed == NEVER else RunState(assumed), assumed=True)
    if ended := notes.get(ENDED):
        said = json.loads(ended)
        return Ending(RunState(said["state"]), said["status"], said["reason"])
    conditions = {
        each["type"]: each for each in job.get("status", {}).get("conditions", []) if each["status"] == "True"
    }
    if "Complete" in conditions:
        return Ending(RunState.DONE, 0, "ended with 0")
    if "Failed" in conditions:
        return _failed(job, conditions["Failed"], pod)
    if job["spec"].get("suspend"):
        return Ending(None)
    return Ending(RunState.RUNNING)


def attempt_name(run: RunAddress, number: int) -> str:
    """Of the Job of an attempt."""
    return fit(f"{run.name}-{number}")


def ending_to_text(said: Ending) -> str:
    """For the annotation `ENDED`."""
    assert said.state is not None
    return json.dumps({"state": said.state.value, "status": said.status, "reason": said.reason}, sort_keys=True)


def began(pod: Json | None) -> bool:
    """Whether the command of this pod was ever started."""
    if pod is None:
        return False
    states = [
        state
        for container in pod.get("status", {}).get("containerStatuses", [])
        for state in (container.get("state", {}), container.get("lastState", {}))
    ]
    return any(
        "running" in state or ("terminated" in state and state["terminated"].get("startedAt")) for state in states
    )


def _failed(job: Json, condition: Mapping[str, Any], pod: Json | None) -> Ending:
    """The Job says why where the exit status says all (its failure policy); the rest only its pod knows."""
    status = _status(condition, pod)
    if condition.get("reason") == "DeadlineExceeded" or (pod or {}).get("status", {}).get("reason") == (
        "DeadlineExceeded"
    ):
        template = job["spec"]["template"]["spec"]
        patience = template.get("activeDeadlineSeconds", job["spec"].get("activeDeadlineSeconds", 0))
        return Ending(RunState.FAILED, status, f"did not end within {patience} s")
    if _out_of_memory(pod):
        return Ending(RunState.FAILED, status, "was ended because it used more memory than its limit")
    if status is not None and status not in SIGNALS:
        return Ending(RunState.FAILED, status, f"ended with {status}")
    if status is not None:
        reason = f"was ended in the middle by signal {status - 128}, nobody saw how far it came"
        return Ending(RunState.INTERRUPTED, None, reason)
    return Ending(RunState.INTERRUPTED, None, "was ended in the middle, nobody saw how")


def _status(condition: Mapping[str, Any], pod: Json | None) -> int | None:
    """The exit status of the command, from its pod or, when that is gone, from what the Job says of it."""
    for container in (pod or {}).get("status", {}).get("containerStatuses", []):
        ended = container.get("state", {}).get("terminated")
        if ended is not None and ended.get("startedAt") and ended.get("reason") != "ContainerStatusUnknown":
            return int(ended["exitCode"])
    said = _EXIT.search(str(condition.get("message", "")))
    return int(said[1]) if condition.get("reason") == "PodFailurePolicy" and said else None


def _out_of_memory(pod: Json | None) -> bool:
    return any(
        container.get("state", {}).get("terminated", {}).get("reason") == "OOMKilled"
        for container in (pod or {}).get("status", {}).get("containerStatuses", [])
    )


def _folded(run: RunAddress, attempts: Sequence[Attempt]) -> ObservedRun | None:
    found: ObservedRun | None = None
    for attempt in attempts:
        state = attempt.ending.state
        if attempt.ending.assumed or (state is not None and not attempt.undoes):
            found = None if state is None else ObservedRun(run, state, attempt.pin, attempt.ending.status)
        elif attempt.undoes and found is not None:
            if state is RunState.DONE:
                found = None
            elif state is RunState.RUNNING or state is RunState.INTERRUPTED:
                found = ObservedRun(run, state, found.pin, None)
    return found
