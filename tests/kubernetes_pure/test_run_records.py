"""What is known of runs, from what the cluster leaves of their Jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.drivers.kubernetes.names import ASSUMED, PIN, RUN_ADDRESS
from tidegate.drivers.kubernetes.run_records import (
    ATTEMPT,
    ENDED,
    JOB_NAME,
    NEVER,
    UNDOES,
    Ending,
    attempt_name,
    book,
    ending,
    ending_to_text,
)
from tidegate.errors import TargetError
from tidegate.model.address import RunAddress
from tidegate.model.component import RunKind
from tidegate.model.encoding import pin_to_json, run_address_to_json
from tidegate.model.observed import RunState
from tidegate.model.pins import Pin, Shape

RUN = RunAddress("dev", "orders", "sha256:" + "ab" * 32, RunKind.BEFORE)
WITH = Pin("sha256:" + "ab" * 32, "", Shape())
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
EXIT_3 = {
    "conditions": [
        {
            "type": "Failed",
            "status": "True",
            "reason": "PodFailurePolicy",
            "message": "Container program for pod dev/x failed with exit code 3 matching FailJob rule at index 1",
        }
    ]
}
LOST = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "so it is"}]}


def job(
    number: int, status: Any, notes: dict[str, str] | None = None, *, undoes: bool = False, suspend: bool = False
) -> dict[str, Any]:
    annotations = {
        RUN_ADDRESS: json.dumps(run_address_to_json(RUN)),
        PIN: json.dumps(pin_to_json(WITH)),
        ATTEMPT: str(number),
        **({UNDOES: "true"} if undoes else {}),
        **(notes or {}),
    }
    template = {"spec": {"activeDeadlineSeconds": 5}}
    return {
        "metadata": {"name": attempt_name(RUN, number), "namespace": "shop-dev", "annotations": annotations},
        "spec": {"suspend": suspend, "template": template},
        "status": status,
    }


def pod(number: int, *, phase_reason: str = "", **terminated: Any) -> dict[str, Any]:
    state = {"terminated": {"startedAt": "2026-01-01T00:00:00Z", **terminated}}
    return {
        "metadata": {"name": f"{attempt_name(RUN, number)}-x", "labels": {JOB_NAME: attempt_name(RUN, number)}},
        "status": {"reason": phase_reason, "containerStatuses": [{"name": "program", "state": state}]},
    }


def known(*jobs: dict[str, Any], pods: tuple[dict[str, Any], ...] = ()) -> tuple[RunState, int | None] | None:
    seen = book(jobs, pods).known.get(RUN)
    return (seen.state, seen.status) if seen else None


def test_a_job_alone_says_how_its_run_ended() -> None:
    """Also when its pod is long gone; without an exit status nobody saw how."""
    assert known(job(1, {"active": 1})) == (RunState.RUNNING, None)
    assert known(job(1, COMPLETE)) == (RunState.DONE, 0)
    assert known(job(1, EXIT_3)) == (RunState.FAILED, 3)
    assert known(job(1, LOST)) == (RunState.INTERRUPTED, None)


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (pod(1, exitCode=137, reason="Error"), RunState.INTERRUPTED),
        (pod(1, exitCode=143, reason="Error"), RunState.INTERRUPTED),
        (pod(1, exitCode=137, reason="ContainerStatusUnknown"), RunState.INTERRUPTED),
        (pod(1, exitCode=137, reason="OOMKilled"), RunState.FAILED),
        (pod(1, exitCode=137, reason="Error", phase_reason="DeadlineExceeded"), RunState.FAILED),
        (pod(1, exitCode=2, reason="Error"), RunState.FAILED),
    ],
)
def test_what_its_pod_knows_more_counts_and_can_be_kept(left: dict[str, Any], state: RunState) -> None:
    """Written down, it holds without the pod."""
    said = ending(job(1, LOST), left)
    assert said.state is state
    assert known(job(1, LOST, {ENDED: ending_to_text(said)})) == (state, said.status)


def test_attempts_are_read_in_their_order() -> None:
    """One that never began says nothing; a failed one may be followed; what was taken back is forgotten."""
    assert known(job(1, {}, suspend=True)) is None
    assert known(job(2, COMPLETE), job(1, EXIT_3), job(3, {}, suspend=True)) == (RunState.DONE, 0)
    assert known(job(1, COMPLETE), job(2, COMPLETE, undoes=True)) is None
    assert known(job(1, COMPLETE), job(2, EXIT_3, undoes=True)) == (RunState.DONE, 0)
    assert known(job(1, COMPLETE), job(2, {}, undoes=True)) == (RunState.RUNNING, None)
    assert known(job(1, COMPLETE), job(2, LOST, undoes=True)) == (RunState.INTERRUPTED, None)
    assert known(job(1, COMPLETE), job(2, COMPLETE, undoes=True), job(3, EXIT_3)) == (RunState.FAILED, 3)


def test_what_a_person_said_counts_whatever_it_was_said_of() -> None:
    """Also of an attempt to take the run back."""
    assert known(job(1, LOST, {ASSUMED: "done"})) == (RunState.DONE, None)
    assert known(job(1, LOST, {ASSUMED: NEVER})) is None
    assert known(job(1, COMPLETE), job(2, LOST, {ASSUMED: "done"}, undoes=True)) == (RunState.DONE, None)
    assert known(job(1, COMPLETE), job(2, LOST, {ASSUMED: NEVER}, undoes=True)) is None


def test_only_attempts_that_say_nothing_any_more_may_be_removed() -> None:
    """The newest of them are kept for what they printed."""
    jobs = [job(1, EXIT_3), job(2, LOST), job(3, COMPLETE), job(4, EXIT_3, undoes=True)]
    old = book(jobs, ()).superseded(0)
    assert [attempt.number for attempt in old] == [1, 2]
    assert [attempt.number for attempt in book(jobs, ()).superseded(1)] == [1]
    assert book(jobs[2:], ()).known == book(jobs, ()).known
    taken_back = [job(1, COMPLETE), job(2, COMPLETE, undoes=True)]
    assert [attempt.number for attempt in book(taken_back, ()).superseded(0)] == [1, 2]


def test_a_job_that_cannot_be_understood_is_named() -> None:
    """It is never taken for a run that was not."""
    for broken in ({PIN: "{}"}, {ATTEMPT: "first"}, {ASSUMED: "perhaps"}, {RUN_ADDRESS: "{"}, {ENDED: "[]"}):
        with pytest.raises(TargetError, match=attempt_name(RUN, 1)):
            book([job(1, COMPLETE, broken)], ())


def test_an_ending_survives_being_written_down() -> None:
    said = Ending(RunState.FAILED, 2, "ended with 2")
    assert ending(job(1, LOST, {ENDED: ending_to_text(said)}), None) == said
