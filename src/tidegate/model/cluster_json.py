"""What only a cluster has, read back from plain JSON; see `tidegate.model.encoding`."""

from __future__ import annotations

from typing import Any

from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure, Patch
from tidegate.model.strict import fields, items, mapping, number, text, texts, word


def cluster_from_json(value: Any) -> ClusterShape:
    """The reverse of `cluster_to_json`; `requests` and `limits` sorted by name. Raises `StoreError`."""
    keys = "requests limits expose host via writable autoscale aliases patches"
    found = fields(value, "cluster", keys)
    return ClusterShape(
        _quantities(found["requests"], "requests"),
        _quantities(found["limits"], "limits"),
        word(Exposure, found["expose"], "expose"),
        text(found["host"], "host"),
        text(found["via"], "via"),
        tuple(texts(found["writable"], "writable")),
        None if found["autoscale"] is None else _autoscale(found["autoscale"]),
        tuple(_alias(each) for each in items(found["aliases"], "aliases")),
        tuple(_patch(each) for each in items(found["patches"], "patches")),
    )


def _quantities(value: Any, what: str) -> tuple[tuple[str, str], ...]:
    found = mapping(value, what)
    return tuple((name, text(found[name], name)) for name in sorted(found))


def _autoscale(value: Any) -> Autoscale:
    found = fields(value, "autoscale", "least most cpu")
    return Autoscale(*(number(found[name], name) for name in ("least", "most", "cpu")))


def _alias(value: Any) -> Alias:
    found = fields(value, "alias", "name port")
    return Alias(text(found["name"], "name"), number(found["port"], "port"))


def _patch(value: Any) -> Patch:
    found = fields(value, "patch", "kind patch")
    return Patch(text(found["kind"], "kind"), text(found["patch"], "patch"))
