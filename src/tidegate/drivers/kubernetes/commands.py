"""Commands of a release that run to their end, in pods of their own: the Job, and what its pod stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.drivers.kubernetes.area import Area, is_ending, label
from tidegate.drivers.kubernetes.kinds import POD
from tidegate.drivers.kubernetes.names import COMPONENT, ROLE, fit
from tidegate.drivers.kubernetes.objects.group import secret_object, shared_objects
from tidegate.drivers.kubernetes.objects.jobs import job_object
from tidegate.drivers.kubernetes.objects.metadata import patched, seconds
from tidegate.drivers.kubernetes.objects.source import GroupSource

Json = dict[str, Any]
SPARE = 60
"""Seconds that the Job outlasts its pod: who ends a pod in time leaves what it printed, who ends a Job does not."""


def command_job(
    area: Area,
    name: str,
    source: GroupSource,
    command: str,
    *,
    role: str,
    annotations: Mapping[str, str],
    timeout: int,
    needs: Mapping[str, str],
    env: Mapping[str, str] | None = None,
) -> Json:
    """The Job, suspended. `timeout` in milliseconds; `needs` are the URLs of needed components."""
    job = job_object(
        area.namespace,
        name,
        source,
        command,
        role=role,
        annotations=annotations,
        timeout_ms=timeout,
        needs=needs,
        env=env,
    )
    patience = max(seconds(timeout), 1)
    template = job["spec"]["template"]
    pod = {**template["spec"], "activeDeadlineSeconds": patience}
    if node := _where_data_are(area, source):
        here = [{"key": "metadata.name", "operator": "In", "values": [node]}]
        needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": here}]}}
        pod |= {"affinity": {"nodeAffinity": needed}}
    spec = {
        **job["spec"],
        "suspend": True,
        "activeDeadlineSeconds": patience + pod["terminationGracePeriodSeconds"] + SPARE,
        "template": {**template, "spec": pod},
    }
    return {**job, "spec": spec}


async def begin(area: Area, job: Json, source: GroupSource, values: Mapping[str, str]) -> None:
    """Make the Job, still suspended, and all that its pod refers to; `values` of secrets go with the Job.

    Raises `AlreadyThere`, and what the API server refuses.
    """
    component = source.group.component
    for each in patched(shared_objects(area.namespace, source), source.cluster.patches, component):
        await area.api.apply(each)
    made = await area.api.create(job)
    name, role = job["metadata"]["name"], label(job, ROLE)
    secret = secret_object(area.namespace, source, values, owner=name, role=role)
    if secret is not None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
        await area.api.apply({**secret, "metadata": {**secret["metadata"], "ownerReferences": [owner]}})


def _where_data_are(area: Area, source: GroupSource) -> str:
    """The node of an instance that has the data open: most volumes are on one node at a time. "" if it does not
    matter."""
    if not source.release.runtime.data:
        return ""
    for pod in area.mirror.objects(POD).values():
        own = label(pod, COMPONENT) == fit(source.group.component)
        if own and not is_ending(pod) and pod.get("status", {}).get("phase") == "Running":
            return str(pod["spec"].get("nodeName", ""))
    return ""
