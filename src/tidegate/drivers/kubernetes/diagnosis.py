"""Why instances do not become well, as early as it can be told, in plain words. Pure: looks at what the API gave."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

Json = dict[str, Any]

# Seconds for what may come by itself: a node, a volume, an object that another program makes.
SOON, LATER = 10.0, 60.0
QUOTA = 5.0  # seconds for what is ending right now to give its share back
_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
    | {"RegistryUnavailable", "SignatureValidationFailed"}
)
_UNSTARTED = frozenset({"CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"})
_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
_PULL_ENDS = re.compile(  # what is not otherwise when it is tried again
    r"not found|manifest unknown|name unknown|unauthorized|authorization failed|denied|forbidden|no basic auth|"
    r"no match for platform|HTTP response to HTTPS client|x509|invalid reference|does not exist|40[134]",
    re.IGNORECASE,
)
_PULL_HINTS = {
    r"unauthorized|authorization failed|denied|forbidden|no basic auth|40[13]": "Give the nodes the registry's "
    "credentials, or the component: `patches: {ServiceAccount: {imagePullSecrets: [{name: …}]}}`.",
    r"no match for platform": "Build the image for the processors of the nodes.",
    r"HTTP response to HTTPS client|x509": "Tell the container runtime of the nodes to trust this registry.",
}
_START_HINTS = {
    r"exec format error": "The image is for other processors than the nodes have.",
    r"permission denied": "Make the program executable in the image, for the user 65532.",
    r"executable file not found|no such file": "See that `run:` names what is in the image.",
}
_PREEMPTION = re.compile(r"\.?( no new claims to deallocate,?)?( preemption: .*|\. not found)?$", re.DOTALL)
_ROOT = "Let the image run as somebody who is not root, named by number: `USER 65532` in the Dockerfile."
_MEMORY = "Give it more: `kubernetes: {resources: {limits: {memory: …}}}`, or have it use less."
_ROOM = "Ask for less (`kubernetes: {resources: {requests: …}}`), or add nodes."
_RESTRICTED = "Look at `patches:` of the component: the namespace takes restricted pods only."


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why. `reason` is a phrase about `pod` ("" where none came to be) and its `container`.

    `certain`: waiting does not help. `wants_log`: the last lines that the container printed tell more, with `previous`
    those of the one before it.
    """

    reason: str
    pod: str = ""
    container: str = ""
    certain: bool = False
    wants_log: bool = False
    previous: bool = False
    hint: str = ""


def why_not(deployment: Json, pods: Sequence[Json], events: Sequence[Json], now: datetime) -> Verdict | None:
    """What keeps the pods of a Deployment (or Job) from being well; None as long as nothing is known.

    `events` may be those of the whole namespace. What is certain comes first, then what is nearest to the program.
    """
    own = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    found = [verdict for pod in own for verdict in _of_pod(pod, _Events(events, pod), now)]
    wanted = deployment.get("spec", {}).get("replicas", deployment.get("spec", {}).get("parallelism", 1))
    if len(own) < wanted and (refused := _not_made(deployment, events, now)) is not None:
        found.append(refused)
    late = _condition(deployment, "Progressing")
    over = late.get("status") == "False" and late.get("reason") == "ProgressDeadlineExceeded"
    first = next((verdict for verdict in found if verdict.certain), found[0] if found else None)
    if first is not None and over:
        return replace(first, certain=True)
    return first


class _Events:
    """What was said about one object, the last first."""

    def __init__(self, events: Sequence[Json], obj: Json) -> None:
        uid, name = obj["metadata"].get("uid"), obj["metadata"]["name"]
        self._found = sorted((each for each in events if _is_about(each, uid, name)), key=_last, reverse=True)

    def last(self, *reasons: str, saying: str = "") -> Json | None:
        """The latest of these reasons whose message has `saying`."""
        return next(self._all(reasons, saying), None)

    def count(self, *reasons: str, saying: str = "") -> int:
        """How often it was said."""
        return sum(max(int(each.get("count") or 1), 1) for each in self._all(reasons, saying))

    def _all(self, reasons: Sequence[str], saying: str) -> Iterator[Json]:
        return (each for each in self._found if each.get("reason") in reasons and saying in each.get("message", ""))


def _of_pod(pod: Json, events: _Events, now: datetime) -> Iterator[Verdict]:
    """All that is wrong with a pod, what is nearest to the program first."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    always = pod.get("spec", {}).get("restartPolicy", "Always") == "Always"
    containers = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    for rule in (_ended, _not_pulled, _not_configured, _not_begun):
        for container in containers:
            verdict = rule(pod, container, events, now)
            if verdict is not None:
                yield replace(verdict, pod=name, container=container["name"])
    if status.get("phase") == "Failed" and status.get("reason"):
        reason = f"was ended by the cluster: {status['reason']}: {status.get('message', '')}".rstrip(": ")
        yield Verdict(reason, name, certain=not always)
    for look in (_no_node, _not_mounted, _not_healthy):
        verdict = look(pod, events, now)
        if verdict is not None:
            yield replace(verdict, pod=name)


def _ended(pod: Json, status: Json, events: _Events, _now: datetime) -> Verdict | None:
    """The program does not go on running. Once may be bad luck; twice, or with nobody to start it again, is certain."""
    state = status.get("state") or {}
    now_ended = state.get("terminated")
    ended = now_ended or (status.get("lastState") or {}).get("terminated")
    if not ended or ended.get("reason") in _UNSTARTED or (status.get("ready") and not now_ended):
        return None
    first = any(each["name"] == status["name"] for each in pod["status"].get("initContainerStatuses") or ())
    again = pod.get("spec", {}).get("restartPolicy", "Always") == "Always"
    if ended.get("exitCode") == 0 and (not again or (first and now_ended)):
        return None
    restarts, waiting = int(status.get("restartCount") or 0), (state.get("waiting") or {}).get("reason")
    down = now_ended is not None or waiting == "CrashLoopBackOff"
    certain = (down and (restarts >= 1 or not again)) or waiting == "CrashLoopBackOff" or restarts >= 2
    reason, hint = _how_it_ended(pod, status, ended, events)
    return Verdict(reason, certain=certain, wants_log=True, previous=now_ended is None, hint=hint)


def _how_it_ended(pod: Json, status: Json, ended: Json, events: _Events) -> tuple[str, str]:
    code, number = ended.get("exitCode", 0), ended.get("signal", 0)
    if ended.get("reason") == "OOMKilled":
        limit = _spec(pod, status["name"]).get("resources", {}).get("limits", {}).get("memory")
        return f"used more memory than its limit{f' of {limit}' if limit else ''} (OOMKilled)", _MEMORY
    stopped = events.last("Killing", saying=f"Container {status['name']} failed")
    if stopped is not None and (said := events.last("Unhealthy")) is not None:
        return f"was ended because its check failed: {_check(said)}", ""
    if ended.get("reason") == "Error" and ended.get("message", "").startswith("failed to"):
        return f"cannot be started: {_inner(ended['message'])}", ""
    if code == 0:
        return "exited with 0: it has to stay in the foreground", ""
    number = number or (code - 128 if 128 < code < 160 else 0)
    if not number:
        return f"exited with {code}", ""
    try:
        return f"was ended by signal {number} ({signal.Signals(number).name})", ""
    except ValueError:
        return f"was ended by signal {number}", ""


def _not_pulled(_pod: Json, status: Json, events: _Events, _now: datetime) -> Verdict | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason"), waiting.get("message", "")
    if reason not in _IMAGE:
        return None
    image = status.get("image", "")
    if reason == "InvalidImageName":
        return Verdict(f"has an image whose name is none: {image}", certain=True)
    said = events.last("Failed", saying="Failed to pull image")
    if reason == "ImagePullBackOff" and "ErrImagePull: " not in message and said is not None:
        message = said["message"].partition('": ')[2]
    why = _inner(message.partition("ErrImagePull: ")[2] or message).removeprefix(f"{image}: ")
    ends = _PULL_ENDS.search(why) is not None or reason in {"ErrImageNeverPull", "SignatureValidationFailed"}
    again = events.count("Failed", saying="Failed to pull image") > 1
    return Verdict(f"cannot have its image {image}: {why}", certain=ends or again, hint=_hint(_PULL_HINTS, why))


def _not_configured(pod: Json, status: Json, _events: _Events, now: datetime) -> Verdict | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") != "CreateContainerConfigError":
        return None
    message = re.sub(r" \(pod: .*\)$", "", waiting.get("message", ""))
    if "runAsNonRoot" in message:
        who = "a user without a number" if "non-numeric" in message else "root"
        return Verdict(f"has an image that runs as {who}, which the namespace does not allow", certain=True, hint=_ROOT)
    late = _age(pod.get("status", {}).get("startTime"), now) >= SOON
    return Verdict(f"cannot be set up: {message}", certain=late)


def _not_begun(_pod: Json, status: Json, _events: _Events, _now: datetime) -> Verdict | None:
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        for found in (state.get("waiting") or {}, state.get("terminated") or {}):
            if found.get("reason") in _UNSTARTED and not status.get("ready"):
                why = _inner(found.get("message", ""))
                passes = re.search(r"deadline exceeded|is reserved for|timed? ?out", why) is not None
                return Verdict(f"cannot be started: {why}", certain=not passes, hint=_hint(_START_HINTS, why))
    return None


def _no_node(pod: Json, events: _Events, now: datetime) -> Verdict | None:
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False":
        return None
    message = _PREEMPTION.sub("", str(condition.get("message", "")))
    if pod.get("status", {}).get("nominatedNodeName") or events.last("TriggeredScaleUp", "Nominated", "WaitOnPodGroup"):
        return Verdict(f"waits for a node that is on its way: {message}")
    passes = re.search(r"PersistentVolumeClaims|not-ready|unreachable|unschedulable", message)
    late = _age(condition.get("lastTransitionTime"), now) >= (LATER if passes else SOON)
    certain = late or (events.last("NotTriggerScaleUp") is not None and not passes)
    return Verdict(f"finds no node: {message}", certain=certain, hint=_ROOM if "Insufficient" in message else "")


def _not_mounted(pod: Json, events: _Events, now: datetime) -> Verdict | None:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    waiting = [(each.get("state") or {}).get("waiting", {}).get("reason") for each in statuses]
    said = events.last(*_MOUNTS)
    if said is None or not any(each in {"ContainerCreating", "PodInitializing"} for each in waiting):
        return None
    age = _age(_first(said), now)
    certain = age >= (SOON if "not found" in said["message"] else LATER)
    return Verdict(f"cannot be set up: {_inner(said['message'])}", certain=certain)


def _not_healthy(pod: Json, events: _Events, _now: datetime) -> Verdict | None:
    said = events.last("Unhealthy")
    if said is None or _condition(pod, "Ready").get("status") == "True":
        return None
    program = pod.get("spec", {}).get("containers", [{"name": ""}])[0]["name"]
    running = [
        each
        for each in pod.get("status", {}).get("containerStatuses") or ()
        if (each.get("state") or {}).get("running")
    ]
    if not running:
        return None
    why = _check(said)
    hint = "See that it listens on the port that $PORT says." if re.search(r"refused|reset|50[23]", why) else ""
    return Verdict(f"runs, but its check fails: {why}", container=program, wants_log=True, hint=hint)


def _not_made(owner: Json, events: Sequence[Json], now: datetime) -> Verdict | None:
    """The cluster does not let the pods come to be."""
    name = owner["metadata"]["name"]
    failure = _condition(owner, "ReplicaFailure")
    said = sorted(
        (
            each
            for each in events
            if each.get("reason") == "FailedCreate" and _is_of(each.get("involvedObject", {}).get("name", ""), name)
        ),
        key=_last,
    )
    if failure.get("status") == "True":
        message, since = str(failure.get("message", "")), failure.get("lastTransitionTime")
    elif said:
        message, since = str(said[-1].get("message", "")), _first(said[-1])
    else:
        return None
    why = re.sub(r'^(Error creating: )?((pods|jobs) "[^"]*" is forbidden: )?', "", message)
    age = _age(since, now)
    for pattern, patience, hint in (
        ("exceeded quota|failed quota", QUOTA, "Ask who runs the cluster for more room, or for less in the manifest."),
        ("failed calling webhook", 2 * SOON, ""),
        ("violates PodSecurity", 0.0, _RESTRICTED),
        ("denied (the )?request|is forbidden|per Container|per Pod|must specify", 0.0, ""),
    ):
        if re.search(pattern, why):
            return Verdict(f"the cluster does not let it start: {why}", certain=age >= patience, hint=hint)
    return Verdict(f"the cluster does not let it start: {why}", certain=age >= SOON)


def _check(event: Json) -> str:
    """What a check got, from `Readiness probe failed: …`."""
    _, found, answer = str(event["message"]).partition(" probe failed: ")
    text = answer if found else str(event["message"])
    return " ".join(text.replace("HTTP probe failed with statuscode:", "it answers").split())[:500]


def _inner(message: str) -> str:
    """The innermost cause of a chain of messages, as far as the outer ones only say who passes it on."""
    text = " ".join(message.split())
    for outer in (
        r"^.*rpc error: code = \w+ desc = ",
        r"^failed to pull and unpack image \"[^\"]*\": ",
        r"^failed to resolve reference \"[^\"]*\": ",
        r"^.*unable to start container process: ",
        r"^error during container init: ",
    ):
        text = re.sub(outer, "", text)
    return text.removesuffix(": unknown")[:1000] or "nobody says why"


def _hint(hints: Mapping[str, str], text: str) -> str:
    return next((hint for pattern, hint in hints.items() if re.search(pattern, text, re.IGNORECASE)), "")


def _spec(pod: Json, container: str) -> Json:
    spec = pod.get("spec", {})
    everyone = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    return next((each for each in everyone if each["name"] == container), {})


def _condition(obj: Json, kind: str) -> Json:
    found = obj.get("status", {}).get("conditions") or ()
    return next((each for each in found if each.get("type") == kind), {})


def _is_about(event: Json, uid: str | None, name: str) -> bool:
    about = event.get("involvedObject", {})
    return bool(about.get("uid") == uid) if uid and about.get("uid") else bool(about.get("name") == name)


def _is_of(made: str, owner: str) -> bool:
    """Whether it is the owner, or the ReplicaSet that a Deployment made (its name and a hash)."""
    return made == owner or made.rpartition("-")[0] == owner


def _last(event: Json) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _first(event: Json) -> str:
    return str(event.get("firstTimestamp") or event.get("eventTime") or "")


def _age(stamp: str | None, now: datetime) -> float:
    """Seconds since then, 0 if nobody knows when."""
    return (now - datetime.fromisoformat(stamp)).total_seconds() if stamp else 0.0
