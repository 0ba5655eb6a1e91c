"""The text of the manifests that are proposed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tidegate.discovery.candidate import component_name
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.network import PORT
from tidegate.model.cluster import Exposure
from tidegate.model.component import Kind

_WIDTH = 100
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Where:
    """The environment that is proposed. `context` and `namespace` "" for what Tidegate takes by itself."""

    environment: str
    context: str = ""
    namespace: str = ""
    registry: str = ""

    def target(self) -> str:
        """`target: {kind: kubernetes, …}`."""
        written = {"context": self.context, "namespace": self.namespace, "registry": self.registry}
        return f"target: {_flow({'kind': 'kubernetes', **{key: value for key, value in written.items() if value}})}"


def is_pinned(image: str) -> bool:
    """Whether a digest says which image it is."""
    return bool(_DIGEST.search(image))


def tidegate_yaml(folder: str, where: Where) -> str:
    """The file of the project in `folder`."""
    return f"organization: {component_name(folder)}\nenvironments:\n  {where.environment}: {{{where.target()}}}\n"


def component_yaml(draft: Draft, digests: Mapping[str, str]) -> str:
    """The manifest of one component."""
    image, comment = draft.image, ""
    if not is_pinned(image):
        digest = digests.get(image)
        image, comment = (f"{image}@{digest}", "") if digest else (image, "  # pin it: NAME@sha256:…")
    text = f"image: {_flow(image)}{comment}\n"
    for key, value in _keys(draft).items():
        text += _block(key, value)
    return text


def _keys(draft: Draft) -> dict[str, Any]:
    """All but the image, in the order in which people read them."""
    service = draft.kind is Kind.SERVICE
    found: dict[str, Any] = {
        "run": draft.run,
        "replicas": draft.replicas if draft.replicas > 1 else None,
        "port": draft.port,
        "health": draft.health,
        "expose": (draft.expose is not Exposure.INSIDE) or None,
        "aliases": [_alias(name, port) for name, port in sorted(draft.aliases.items())],
        "needs": sorted(draft.needs),
        "env": dict(draft.env),
        "data": draft.data or None,
        "overlap": False if service and not draft.overlap and not draft.data else None,
        "grace": None if draft.grace is None else f"{draft.grace}s",
        "retry": draft.retry or None,
        "timeout": f"{draft.timeout}s" if draft.timeout else None,
        "kubernetes": _cluster(draft),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def _alias(name: str, port: int) -> Any:
    return name if port == PORT else {"name": name, "port": port}


def _cluster(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = {}
    resources = {"requests": draft.requests, "limits": draft.limits}
    if any(resources.values()):
        found["resources"] = {key: value for key, value in resources.items() if value}
    if draft.expose is Exposure.INGRESS:
        host = {"kind": "ingress", "host": draft.host}
        found["expose"] = host | ({"via": draft.via} if draft.via else {})
    elif draft.expose is not Exposure.INSIDE:
        found["expose"] = draft.expose.value
    if draft.writable:
        found["writable"] = sorted(set(draft.writable))
    if (scale := draft.autoscale) is not None and not draft.data:
        found["autoscale"] = {"min": scale.least, "max": scale.most, "cpu": scale.cpu}
    if draft.patches:
        found["patches"] = draft.patches
    return found


def _block(key: str, value: Any, indent: str = "") -> str:
    """A key and its value, on one line where that is short."""
    inner = _flow(value)
    name = _flow(key)
    if isinstance(value, str) and "\n" in value and not indent:
        return yaml.dump({key: value}, Dumper=_Literal, width=1000, allow_unicode=True)
    if not isinstance(value, dict | list) or len(indent) + len(name) + len(inner) <= _WIDTH:
        return f"{indent}{name}: {inner}\n"
    if isinstance(value, list):
        return f"{indent}{name}:\n" + "".join(f"{indent}  - {_flow(item)}\n" for item in value)
    return f"{indent}{name}:\n" + "".join(_block(one, inside, f"{indent}  ") for one, inside in value.items())


def _flow(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Flow, sort_keys=False, width=100_000, allow_unicode=True, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


class _Flow(yaml.SafeDumper):
    """Everything on one line, and without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - whatever it is
        return True


class _Literal(yaml.SafeDumper):
    """Texts as they are read best."""


def _add(dumper: type[yaml.SafeDumper], style: str) -> None:
    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style if "\n" in text else None)

    dumper.add_representer(str, represent)


_add(_Flow, '"')
_add(_Literal, "|")
