"""`target:` of environments: where they live, and whether they can live there together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tidegate.manifest.fields import LABEL, LABEL_RULE, NAME, Fields, describe, one_of
from tidegate.manifest.image import pinned
from tidegate.manifest.models import EnvironmentSpec, Position, TargetSpec
from tidegate.manifest.reader import Node, Report, Scalar, Table

KUBERNETES = "kubernetes"
TARGETS: Mapping[str, tuple[str, ...]] = {  # target -> the isolation it can enforce, weakest first
    "local": ("logical",),
    KUBERNETES: ("logical", "server"),
}
KEYS = ("kind", "context", "namespace", "registry", "proxy")
_REGISTRY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_ELSEWHERE = "Write target: {kind: kubernetes, namespace: …}"


def read_target(node: Node, key: str, report: Report) -> TargetSpec | None:
    """A word, or a table with `kind`."""
    if isinstance(node, Scalar):
        word = one_of(node, key, tuple(TARGETS), report)
        return None if word is None else TargetSpec(word.text)
    if not isinstance(node, Table):
        report.add(node, f"{key!r} cannot be {describe(node)}", "Write kubernetes, or {kind: kubernetes, context: …}.")
        return None
    fields = Fields(node, KEYS, key, report)
    fields.require("kind", "Write {kind: kubernetes, …}.")
    entry = fields.entry("kind")
    kind = one_of(entry.value, "kind", tuple(TARGETS), report) if entry else None
    if kind is None:
        return None
    if kind.text != KUBERNETES:
        for name in KEYS[1:]:
            if name in fields:
                report.add(fields.position(name), f"{name!r} is for a target of kind {KUBERNETES}", "Remove it.")
        return TargetSpec(kind.text)
    proxy = fields.entry("proxy")
    return TargetSpec(
        KUBERNETES,
        context=fields.text("context") or "",
        namespace=_namespace(fields, report),
        registry=_registry(fields, report),
        proxy=(pinned(proxy.value, "proxy", report) or "") if proxy else "",
    )


def namespace(organization: str, environment: EnvironmentSpec) -> str:
    """The namespace that an environment on Kubernetes is."""
    return environment.target.namespace or f"{organization}-{environment.name}"


def check_targets(
    specs: Mapping[str, EnvironmentSpec], places: Mapping[str, Position], organization: str | None, report: Report
) -> None:
    """Report environments that cannot be namespaces, and those that cannot live together. `places` are where each says
    where it lives; `organization` None: nothing is known of it."""
    clusters: dict[str, list[EnvironmentSpec]] = {}
    for spec in specs.values():
        if spec.target.kind == KUBERNETES:
            clusters.setdefault(spec.target.context, []).append(spec)
            if NAME.fullmatch(spec.name) and spec.name.endswith("-"):
                message = f"environment {spec.name!r} cannot be on {KUBERNETES} under this name"
                report.add(places[spec.name], message, "Names in a cluster end with a letter or digit.")
            elif organization is not None:
                _check_namespace(spec, organization, places, report)
    for context, together in clusters.items():
        _check_apart(context, together, places, organization, report)


def _check_namespace(spec: EnvironmentSpec, organization: str, places: Mapping[str, Position], report: Report) -> None:
    name = namespace(organization, spec)
    if not spec.target.namespace and NAME.fullmatch(spec.name) and not LABEL.fullmatch(name):
        message = f"environment {spec.name} would be in the namespace {name!r}, which cannot be the name of one"
        report.add(places[spec.name], message, f"{_ELSEWHERE}. {LABEL_RULE}")


def _check_apart(
    context: str,
    together: list[EnvironmentSpec],
    places: Mapping[str, Position],
    organization: str | None,
    report: Report,
) -> None:
    cluster = f"context {context}" if context else "the current context"
    first: dict[str, EnvironmentSpec] = {}
    for spec in together:
        name = namespace(organization or "", spec)
        if name in first:
            message = f"environments {first[name].name} and {spec.name} would share the namespace {name} of {cluster}"
            report.add(places[spec.name], message, f"{_ELSEWHERE} for one of them.")
        first.setdefault(name, spec)
    alone = next((spec for spec in together if spec.isolation == "server"), None)
    if alone is not None and len(together) > 1:
        other = next(spec for spec in together if spec is not alone)
        message = f"environment {alone.name} asks for isolation 'server', but {other.name} is in the same cluster"
        hint = f"Both are in {cluster}: write the context of another cluster, or isolation: logical."
        report.add(places[alone.name], message, hint)


def _namespace(fields: Fields, report: Report) -> str:
    written = fields.text("namespace")
    if written is None:
        return ""
    node = fields.table.entries["namespace"].value
    if not LABEL.fullmatch(written):
        report.add(node, f"{describe(node)} cannot be the name of a namespace", LABEL_RULE)
    elif written.startswith("kube-"):
        report.add(node, f"the namespace {written!r} belongs to Kubernetes itself", "Write another one.")
    return written


def _registry(fields: Fields, report: Report) -> str:
    """Not shown where it is wrong: a password may be in it."""
    written = fields.text("registry")
    if written is None or _REGISTRY.fullmatch(written):
        return written or ""
    node = fields.table.entries["registry"].value
    hint = "Write its host and the path below it, such as registry.acme.example/shop: no https://, no user, no tag."
    report.add(node, "'registry' must be a host and a path", hint)
    return ""
