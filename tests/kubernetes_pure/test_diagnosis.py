"""What is said of instances that do not become well, from what a cluster told once (`ailments.json`)."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidegate.drivers.kubernetes.diagnosis import Verdict, why_not

Json = dict[str, Any]
RECORDED: dict[str, Json] = json.loads(Path(__file__).with_name("ailments.json").read_text())
CERTAIN = {
    "crash": "^exited with 3$",
    "gone": "^exited with 0: it has to stay in the foreground$",
    "signal": r"^was ended by signal 11 \(SIGSEGV\)$",
    "memory": r"^used more memory than its limit of 32Mi \(OOMKilled\)$",
    "image": r"^cannot have its image registry\.example:5000/nowhere@sha256:0+: not found$",
    "image-name": "^has an image whose name is none: No Such Name$",
    "registry": "^cannot have its image .*connection refused$",
    "root": "^has an image that runs as root, which the namespace does not allow$",
    "secret": '^cannot be set up: secret "nowhere" not found$',
    "mount": '^cannot be set up: MountVolume.SetUp failed for volume "a" : configmap "nowhere" not found$',
    "command": '^cannot be started: exec: "/nowhere": stat /nowhere: no such file or directory$',
    "liveness": "^was ended because its check failed: .*connection refused$",
    "room": "^finds no node: 0/1 nodes are available: 1 Insufficient cpu$",
    "claim": '^finds no node: .*persistentvolumeclaim "nowhere" not found$',
    "security": '^the cluster does not let it start: violates PodSecurity "restricted:latest": privileged',
    "limit": "^the cluster does not let it start: maximum memory usage per Container is 2Gi, but limit is 3Gi$",
    "account": 'serviceaccount "nowhere" not found$',
    "policy": "that variable is not for you$",
    "quota": "^the cluster does not let it start: exceeded quota: small, requested: pods=1, used: pods=0",
}


def told(name: str, **changes: Any) -> Verdict | None:
    """What is said of a recorded one; `seconds` moves the clock, the rest replaces what was recorded."""
    found = {**copy.deepcopy(RECORDED[name]), **{key: value for key, value in changes.items() if key != "seconds"}}
    now = datetime.fromisoformat(found["now"]) + timedelta(seconds=changes.get("seconds", 0))
    return why_not(found["deployment"], found["pods"], found["events"], now)


def pods(name: str) -> list[Json]:
    return copy.deepcopy(RECORDED[name]["pods"])


def scheduled(message: str, age: float = 0, *events: str) -> Verdict | None:
    """What is said of a pod that finds no node since `age` seconds, with these reasons of events."""
    found = RECORDED["room"]
    (pod,) = pods("room")
    since = datetime.fromisoformat(found["now"]) - timedelta(seconds=age)
    condition = {"type": "PodScheduled", "status": "False", "message": message, "lastTransitionTime": since.isoformat()}
    pod["status"]["conditions"] = [condition]
    about = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    said = [{"reason": each, "message": "", "involvedObject": about} for each in events]
    return told("room", pods=[pod], events=said)


@pytest.mark.parametrize("name", CERTAIN)
def test_a_cause_is_told_in_plain_words(name: str) -> None:
    verdict = told(name, seconds=20)
    assert verdict is not None
    assert re.search(CERTAIN[name], verdict.reason), verdict.reason
    assert verdict.certain


def test_the_last_lines_are_wanted_where_the_program_spoke() -> None:
    with_log = {name for name in RECORDED if (verdict := told(name)) and verdict.wants_log}
    assert with_log == {"crash", "gone", "signal", "memory", "answer", "silent", "liveness"}


def test_what_is_well_or_only_young_is_not_blamed() -> None:
    assert told("well") is None
    assert told("crash", pods=[], events=[]) is None


def test_one_end_may_be_bad_luck_and_two_are_not() -> None:
    once = pods("crash")
    status = once[0]["status"]["containerStatuses"][0]
    ended = {"exitCode": 3, "reason": "Error"}
    status |= {"restartCount": 0, "state": {"terminated": ended}, "lastState": {}}
    first = told("crash", pods=once)
    status |= {"restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": ended}, "ready": False}
    again = told("crash", pods=once)
    status |= {"restartCount": 1, "state": {"terminated": ended}}
    twice = told("crash", pods=once)
    assert [verdict and (verdict.certain, verdict.previous) for verdict in (first, again, twice)] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    once[0]["spec"]["restartPolicy"] = "Never"
    status |= {"restartCount": 0}
    alone = told("crash", pods=once)
    assert alone is not None
    assert alone.certain


def test_what_ran_and_is_ready_again_is_not_blamed_for_its_past() -> None:
    past = pods("crash")
    ended = {"exitCode": 3, "reason": "Error"}
    past[0]["status"]["containerStatuses"][0] |= {
        "restartCount": 3,
        "ready": True,
        "state": {"running": {}},
        "lastState": {"terminated": ended},
    }
    assert told("crash", pods=past, events=[]) is None


def test_a_command_that_ended_well_is_no_failure() -> None:
    done = pods("gone")
    done[0]["spec"]["restartPolicy"] = "Never"
    done[0]["status"]["containerStatuses"][0] |= {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    assert told("gone", pods=done, events=[]) is None


def test_what_may_come_by_itself_gets_time() -> None:
    for name in ("secret", "mount", "quota", "account"):
        started = RECORDED[name]["deployment"]["status"].get("conditions") or []
        first = [each["lastTransitionTime"] for each in started if each["type"] == "ReplicaFailure"]
        first += [each["status"]["startTime"] for each in RECORDED[name]["pods"] if "startTime" in each["status"]]
        early = told(name, now=first[0])
        assert early is not None
        assert not early.certain, name


def test_a_node_that_an_autoscaler_brings_is_waited_for() -> None:
    message = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 none."
    for age, events, certain in (
        (0, (), False),
        (11, (), True),
        (300, ("TriggeredScaleUp",), False),
        (300, ("Nominated",), False),
        (0, ("NotTriggerScaleUp",), True),
    ):
        verdict = scheduled(message, age, *events)
        assert verdict is not None
        assert verdict.certain is certain, (age, events)
        assert verdict.reason.endswith("0/3 nodes are available: 3 Insufficient cpu")


def test_a_volume_gets_time_to_be_made() -> None:
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    young, old = scheduled(message, 30, "NotTriggerScaleUp"), scheduled(message, 61)
    assert young is not None
    assert old is not None
    assert (young.certain, old.certain) == (False, True)


def test_a_registry_that_is_away_for_a_moment_is_asked_twice_and_one_that_refuses_once() -> None:
    waiting = pods("registry")
    (status,) = waiting[0]["status"]["containerStatuses"]
    message = "failed to pull and unpack image: failed to do request: dial tcp: i/o timeout"
    status["state"] = {"waiting": {"reason": "ErrImagePull", "message": message}}
    away = told("registry", pods=waiting, events=[])
    message = (
        'rpc error: code = Unknown desc = failed to resolve reference "r.example/a": pulling from host failed '
        "with status code [manifests sha256:0]: 401 Unauthorized"
    )
    status["state"] = {"waiting": {"reason": "ErrImagePull", "message": message}}
    refused = told("registry", pods=waiting, events=[])
    assert away is not None
    assert refused is not None
    assert (away.certain, refused.certain) == (False, True)
    assert refused.reason.endswith("401 Unauthorized")
    assert "imagePullSecrets" in refused.hint


def test_a_check_that_fails_is_certain_only_when_the_deadline_is_over() -> None:
    verdict = told("answer")
    assert verdict is not None
    assert verdict.reason == "runs, but its check fails: it answers 404"
    assert not verdict.certain
    late = copy.deepcopy(RECORDED["answer"]["deployment"])
    late["status"]["conditions"] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    over = told("answer", deployment=late)
    assert over is not None
    assert over.certain


def test_the_certain_cause_comes_before_the_possible_one() -> None:
    both = [*pods("answer"), *pods("crash")]
    events = [*RECORDED["answer"]["events"], *RECORDED["crash"]["events"]]
    verdict = told("answer", pods=both, events=events)
    assert verdict is not None
    assert verdict.reason == "exited with 3"
    assert verdict.pod == both[1]["metadata"]["name"]


def test_pods_that_are_ending_are_left_alone() -> None:
    ending = pods("crash")
    ending[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert told("crash", pods=ending, events=[]) is None
