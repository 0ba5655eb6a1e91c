"""Deployments, StatefulSets, Jobs and CronJobs: which components they become, and how those are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from tidegate.discovery.candidate import component_name
from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.objects import Folder, Object
from tidegate.model.component import Kind

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
LIKE_THEM = {
    "DaemonSet": "A component runs a number of instances, not one on each node.",
    "ReplicaSet": "Write a Deployment.",
    "ReplicationController": "Write a Deployment.",
    "Pod": "Write a Deployment, which has it started again.",
}
_SUFFIX = re.compile(r"[-_.](deployment|deploy|statefulset|sts|cronjob|job)$")
_SHELLS = ("sh", "bash", "ash", "dash", "/bin/sh", "/bin/bash", "/bin/ash", "/bin/dash")
REFERENCE = re.compile(r"\$(\$)?\(([A-Za-z_][A-Za-z0-9_]*)\)")
MOST_REPLICAS = 1000
LAST_PORT = 65_535
_IDS = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")


def drafts_of(folder: Folder, taken: Collection[str]) -> list[Draft]:
    """One draft for each workload; names in `taken` are given to nobody."""
    for each in folder.of(*LIKE_THEM):
        each.body.skip_all()
        each.body.leave("kind", "it is not carried over", LIKE_THEM[each.kind])
    drafts: list[Draft] = []
    used = set(taken)
    for workload in folder.of(*WORKLOADS):
        name = component_name(_SUFFIX.sub("", workload.name))
        number = 2
        while name in used:
            name, number = f"{component_name(workload.name)[:36]}-{number}", number + 1
        draft = _draft(workload, name)
        if draft is not None:
            used.add(name)
            drafts.append(draft)
    return drafts


def _draft(workload: Object, name: str) -> Draft | None:
    spec = workload.body.inner("spec")
    job = workload.kind in {"Job", "CronJob"}
    if workload.kind == "CronJob":
        spec.skip("concurrencyPolicy", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        spec = spec.inner("jobTemplate").inner("spec")
    spec.skip("selector", "revisionHistoryLimit", "progressDeadlineSeconds", "serviceName")
    template = spec.inner("template")
    labels = template.inner("metadata").pairs("labels")
    template.inner("metadata").skip("creationTimestamp", "name")
    pod = template.inner("spec")
    containers = pod.items("containers")
    if not containers or not containers[0].text("image"):
        workload.body.skip_all()
        workload.body.leave("spec", "it has no container with an image, and is not carried over")
        return None
    for more in containers[1:]:
        name_of = more.text("name") or "another"
        more.skip_all()
        more.leave("name", f"the container {name_of} is not carried over", "A component is one container.")
    container = containers[0]
    container.skip("name", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy")
    draft = Draft(
        workload=workload,
        name=name,
        kind=Kind.TASK if job else Kind.SERVICE,
        pod=pod,
        container=container,
        labels=labels,
        image=container.text("image"),
        ports=_ports(container),
    )
    _times(draft, spec)
    _security(draft)
    return draft


def _ports(container: Cursor) -> dict[str, int]:
    """Name, or the number as text, -> number; in the order of the file."""
    found: dict[str, int] = {}
    for port in container.items("ports"):
        number, name = port.number("containerPort", LAST_PORT), port.text("name")
        protocol = port.text("protocol") or "TCP"
        if protocol != "TCP":
            port.leave("protocol", f"the port {number} of {protocol} is not carried over", "Instances speak TCP.")
        elif number:
            found[name or str(number)] = number
    return found


def _times(draft: Draft, spec: Cursor) -> None:
    """How many, how long, and whether old and new may run at once."""
    draft.grace = draft.pod.number("terminationGracePeriodSeconds")
    if draft.kind is Kind.TASK:
        draft.grace = None
        draft.timeout = spec.number("activeDeadlineSeconds")
        draft.retry = spec.number("backoffLimit") != 0
        for key in ("completions", "parallelism"):
            if (spec.number(key) or 1) != 1:
                spec.leave(key, f"{key} is not carried over", "A task runs once each time.")
        return
    replicas = spec.number("replicas", 10**9)
    draft.replicas = 1 if replicas is None else replicas
    if not 1 <= draft.replicas <= MOST_REPLICAS:
        draft.replicas = min(max(draft.replicas, 1), MOST_REPLICAS)
        message = f"replicas is {replicas}; it becomes {draft.replicas}"
        spec.leave("replicas", message, "To leave a component out, use components: of the environment.")
    strategy = spec.inner("strategy")
    draft.overlap = strategy.text("type") != "Recreate"
    spec.skip("updateStrategy")


def _security(draft: Draft) -> None:
    """Users and groups stay as they are; all else that is written has to be what instances get anyhow."""
    for security, place in (
        (draft.container.inner("securityContext"), draft.container),
        (draft.pod.inner("securityContext"), draft.pod),
    ):
        capabilities = security.inner("capabilities")
        if [word.upper() for word in capabilities.words("drop")] == ["ALL"]:
            capabilities.skip("drop")
        if security.inner("seccompProfile").text("type") not in {"", "RuntimeDefault"}:
            place.leave("securityContext", "the profile of seccomp is not carried over", "It is RuntimeDefault here.")
        for key in _IDS:
            if key in security and security.text(key) != "0":
                target = "Job" if draft.kind is Kind.TASK else "Deployment"
                draft.patch(target, "template", "spec", "securityContext", **{key: security.plain(key)})
            elif key in security:
                security.leave(key, f"{key}: 0 is not carried over", "Instances are never root.")


def read_command(draft: Draft) -> None:
    """`run`, where the pod gives a command. Its variables have to be known by now."""
    container = draft.container
    words, arguments = container.words("command"), container.words("args")
    draft.words.extend(("", word) for word in (*words, *arguments))
    if arguments and not words:
        hint = f"Write run: in {draft.file}, with the program of the image and these arguments."
        message = f"args ({shlex.join(arguments)}) cannot be given to a command that the image alone knows"
        container.leave("args", message, hint)
    elif words:
        draft.run = as_run([*words, *arguments], draft.env)
        if words[0] not in _SHELLS:
            hint = "An image without a shell has to have this command itself; then take run: out."
            container.leave("command", "its command is run by /bin/sh of the image", hint)


def as_run(words: list[str], variables: Collection[str]) -> str:
    """A command as a text for a shell. `$(NAME)` of one of the variables is its value, as in Kubernetes."""

    def put(match: re.Match[str]) -> str:
        if match[1] or match[2] not in variables:
            return f"$({match[2]})"
        return f"${{{match[2]}}}"

    if len(words) == 3 and words[0] in _SHELLS and words[1] == "-c":
        return REFERENCE.sub(put, words[2]).strip()
    return " ".join(_quoted(word, variables) for word in words)


def _quoted(word: str, variables: Collection[str]) -> str:
    found, end = "", 0
    for match in REFERENCE.finditer(word):
        if not match[1] and match[2] in variables:
            found += _plain(word[end : match.start()]) + f'"${{{match[2]}}}"'
            end = match.end()
    return found + _plain(word[end:]) or "''"


def _plain(text: str) -> str:
    return shlex.quote(text.replace("$$(", "$(")) if text else ""
