"""`patches:`: changes to the objects of a component that nothing else can say. What Tidegate itself decides by is not
theirs to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.manifest.fields import describe, meant
from tidegate.manifest.reader import Items, Node, Report, Scalar, Table
from tidegate.model.cluster import Patch
from tidegate.model.component import Kind
from tidegate.model.digest import canonical

_ALL = ("Job", "NetworkPolicy", "ServiceAccount")
KINDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SERVICE: (
        "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "PersistentVolumeClaim", "PodDisruptionBudget",
        "Service", *_ALL,
    ),
    Kind.WORKER: ("Deployment", "PersistentVolumeClaim", "PodDisruptionBudget", *_ALL),
    Kind.TASK: _ALL,
}  # fmt: skip
OURS: Mapping[tuple[str, ...], str] = {
    ("apiVersion",): "Tidegate makes objects of one version.",
    ("kind",): "The object is of the kind that the patch is for.",
    ("status",): "It is written by the cluster.",
    ("metadata", "name"): "Tidegate finds its objects by their names.",
    ("metadata", "namespace"): "It is that of the environment.",
    ("spec", "selector"): "Tidegate moves traffic by it.",
    ("spec", "replicas"): "Write replicas: of the component, or autoscale:.",
    ("spec", "paused"): "Tidegate waits until what it started is healthy.",
    ("spec", "type"): "Write kubernetes: {expose: …}.",
    ("spec", "externalName"): "Tidegate moves traffic to instances.",
}
_LABELS = ("app.kubernetes.io/managed-by",)
_DOMAIN = "tidegate.dev/"
_WHOLE = (  # tables that hold something of Tidegate's: they can be added to, and not replaced
    ("metadata",), ("metadata", "labels"), ("metadata", "annotations"), ("spec",), ("spec", "template"),
    ("spec", "template", "metadata"), ("spec", "template", "metadata", "labels"), ("spec", "template", "spec"),
)  # fmt: skip


def read_patches(node: Node, kind: Kind, report: Report) -> tuple[Patch, ...] | None:
    """Kind of object -> merge patch, sorted by kind."""
    if not isinstance(node, Table):
        report.add(node, f"'patches' must be a table of keys, not {describe(node)}", "Write {Deployment: {spec: …}}.")
        return None
    found = []
    for name, entry in sorted(node.entries.items()):
        if name not in KINDS[kind]:
            hint = meant(name, KINDS[kind])
            report.add(entry, f"a {kind} has no object of kind {name!r} to patch", hint)
        elif not isinstance(entry.value, Table) or not entry.value.entries:
            found_there = "an empty one" if isinstance(entry.value, Table) else describe(entry.value)
            hint = f"Write what shall be different, such as {name}: {{metadata: {{annotations: {{a: b}}}}}}."
            report.add(entry.value, f"the patch of {name} must be a table of keys, not {found_there}", hint)
        else:
            found.append(Patch(name, canonical(_json(entry.value, (), report)).decode()))
    return tuple(found)


def _json(node: Node, path: tuple[str, ...], report: Report) -> Any:
    """As JSON, where nothing is reported."""
    if isinstance(node, Table):
        found = {}
        for key, entry in node.entries.items():
            inner = (*path, key)
            why = OURS.get(inner, "")
            if not why and (key in _LABELS or _DOMAIN in key):
                why = "Tidegate knows its objects by it."
            if why:
                report.add(entry, f"a patch cannot change {'.'.join(inner)}", why)
            elif inner in _WHOLE and not isinstance(entry.value, Table):
                message = f"{'.'.join(inner)} of a patch must be a table of keys, not {describe(entry.value)}"
                report.add(entry.value, message, "It can be added to, and not removed as a whole.")
            else:
                found[key] = _json(entry.value, inner, report)
        return found
    if isinstance(node, Items):
        return [_json(item, path, report) for item in node.items]
    return _scalar(node, report)


def _scalar(node: Scalar, report: Report) -> Any:
    if isinstance(node.value, float):
        report.add(node, f"a patch cannot hold {describe(node)}", "The API takes whole numbers: put others in quotes.")
        return None
    return node.value
