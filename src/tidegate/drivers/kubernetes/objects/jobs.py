"""Commands that run to their end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.drivers.kubernetes.names import PROGRAM, labels
from tidegate.drivers.kubernetes.objects.metadata import new, patched, seconds
from tidegate.drivers.kubernetes.objects.pod import Pod, pod_template
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.model.address import url_variable

Json = dict[str, Any]

_KILLED = [137, 143]
"""Exit statuses of programs that somebody ended: what they did is not known."""


def job_object(
    namespace: str,
    name: str,
    source: GroupSource,
    command: str,
    *,
    role: str,
    annotations: Mapping[str, str],
    timeout_ms: int,
    needs: Mapping[str, str],
    env: Mapping[str, str] | None = None,
) -> Json:
    """A Job that runs once, and never again whatever happens. `needs` are the addresses of needed components.

    If the command itself failed, the Job says so with the exit status (`PodFailurePolicy`); if it was ended or lost, it
    does not.
    """
    group = source.group
    pod = Pod(
        owner=name,
        role=role,
        command=command,
        urls={url_variable(need): url for need, url in needs.items()},
        env=env or {},
        restart="Never",
    )
    failed = {"containerName": PROGRAM, "operator": "NotIn", "values": _KILLED}
    spec: Json = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": max(seconds(timeout_ms), 1),
        "podFailurePolicy": {
            "rules": [
                {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": failed},
            ]
        },
        "template": pod_template(namespace, source, pod),
    }
    own = labels(group.environment, component=group.component, role=role)
    job = new("batch/v1", "Job", namespace, name, own, annotations=annotations, spec=spec)
    return patched([job], source.cluster.patches, group.component)[0]
