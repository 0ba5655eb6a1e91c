"""What nobody has read: whatever is in the files and in no proposal is said."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.objects import Folder, Object
from tidegate.discovery.kubernetes.variables import Sources
from tidegate.discovery.kubernetes.workloads import LIKE_THEM, WORKLOADS

_USED = ("ConfigMap", "Secret", "PersistentVolumeClaim")
_READ = (*WORKLOADS, *_USED, "Service", "Ingress", "HorizontalPodAutoscaler")
_NO_TOKEN = "Instances get no token of the API."  # noqa: S105 - a sentence
_KEEP = "Keep it where it is: it belongs to the cluster."
_WHY: Mapping[str, str] = {
    "Namespace": "An environment has a namespace of its own.",
    "ServiceAccount": "Every component gets one of its own.",
    "NetworkPolicy": "What may come in follows needs:.",
    "PodDisruptionBudget": "Tidegate makes one from 2 replicas.",
    **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), _NO_TOKEN),
    **dict.fromkeys(("CustomResourceDefinition", "PersistentVolume", "StorageClass", "IngressClass"), _KEEP),
}


def say_the_rest(found: Folder, sources: Sources) -> None:
    """Say it of every object, once all that becomes part of the proposal has been read."""
    selecting = _selecting(found)
    for each in found.objects:
        if each.native and each.kind in LIKE_THEM:  # they were told when workloads were looked for
            continue
        if each.kind not in _READ or not each.native:
            _say(each, "it is not carried over", _WHY.get(each.kind, ""))
        elif each.kind in _USED and (each.kind, each.namespace, each.name) not in sources.named:
            _say(each, "no workload here uses it, and it is not carried over")
        else:
            for metadata in _metadata(each):
                _say_labels(metadata, selecting)
            each.body.rest()


def _say(each: Object, message: str, hint: str = "") -> None:
    each.body.skip_all()
    each.body.leave("kind", message, hint)


def _metadata(each: Object) -> list[Cursor]:
    spec = each.body.inner("spec")
    if each.kind == "CronJob":
        spec = spec.inner("jobTemplate").inner("spec")
    own = [each.body.inner("metadata")]
    return [*own, spec.inner("template").inner("metadata")] if each.kind in WORKLOADS else own


def _selecting(found: Folder) -> frozenset[str]:
    """The keys of all labels that something is found by: these have done their work when all is connected."""
    names: set[str] = set()
    for each in found.of("Service"):
        names |= each.body.inner("spec").names("selector")
    for each in found.of(*WORKLOADS):
        names |= each.body.inner("spec").inner("selector").names("matchLabels")
    return frozenset(names)


def _say_labels(metadata: Cursor, selecting: frozenset[str]) -> None:
    more = sorted(metadata.names("labels") - selecting)
    if more:
        metadata.leave("labels", f"labels that select nothing are not carried over: {', '.join(more)}")
