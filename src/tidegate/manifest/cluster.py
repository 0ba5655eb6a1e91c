"""`kubernetes:` and `aliases:` of a component: what holds where it runs in a cluster."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from difflib import get_close_matches
from posixpath import normpath
from typing import Any

from tidegate.manifest.fields import Fields, describe, one_of, per_environment, text, whole
from tidegate.manifest.models import EnvironmentSpec, PerEnvironment, Position
from tidegate.manifest.patches import read_patches
from tidegate.manifest.quantity import Quantities, completed, read_resources
from tidegate.manifest.reader import Items, Node, Report, Scalar, Table
from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure, Patch
from tidegate.model.component import Kind

KEYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SERVICE: ("resources", "expose", "writable", "autoscale", "patches"),
    Kind.WORKER: ("resources", "writable", "patches"),
    Kind.TASK: ("resources", "writable", "patches"),
}
REFUSED: Mapping[Kind, Mapping[str, str]] = {
    Kind.SERVICE: {},
    Kind.WORKER: {
        "expose": "a worker has no address",
        "autoscale": "two versions of a worker at once would do harm, so its number is changed by releases alone",
    },
    Kind.TASK: dict.fromkeys(("expose", "autoscale"), "a task runs once, when somebody asks for it"),
}
EXPOSE_KEYS = ("kind", "host", "via")
AUTOSCALE_KEYS = ("min", "max", "cpu")
ALIAS_KEYS = ("name", "port")
EXPOSED = tuple(each.value for each in Exposure if each is not Exposure.INSIDE)
NAMED = (Exposure.INGRESS, Exposure.GATEWAY)  # these tell one entry from another by its host
MOST_REPLICAS = 1000
_DNS = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SERVICE_RULE = "It is at most 63 of a-z, 0-9 and -, begins with a letter, and ends with a letter or digit."
_SYSTEM = ("/proc", "/sys", "/dev")
_ROOT_ONLY = "The whole root cannot be writable: name the folders that the program writes to."
_EXPOSE = "Write load-balancer, node-port, or {kind: ingress, host: shop.acme.example}."


@dataclass(frozen=True)
class _Exposed:
    kind: Exposure
    host: str = ""
    via: str = ""


@dataclass(frozen=True)
class _Draft:
    """What is written for one environment, or for all; None where nothing (valid) is."""

    resources: tuple[Quantities, Quantities] | None = None
    expose: _Exposed | None = None
    writable: tuple[str, ...] | None = None
    autoscale: Autoscale | None = None
    patches: tuple[Patch, ...] | None = None


def read_cluster(
    fields: Fields,
    kind: Kind,
    environments: Mapping[str, EnvironmentSpec] | None,
    positions: dict[str, Position],
    report: Report,
    *,
    data: bool,
) -> PerEnvironment[ClusterShape]:
    """What `kubernetes:` and `aliases:` say. `kubernetes:` is one table, or one for each environment and `default`;
    what an environment does not say, key by key, it has from those that it is like, and from `default`.

    `environments` None: they are not known. Hosts are noted in `positions` as "host", "host.default", "host.prod".
    """
    aliases = _aliases(fields, positions, report)
    drafts = _drafts(fields, kind, environments, positions, report, data=data)
    default = drafts.default or _Draft()
    values = {}
    for name, spec in (environments or {}).items():
        line = [drafts.values[one] for one in spec.lineage if one in drafts.values]
        if line:
            values[name] = _finished(_merged([*line, default]), aliases)
    return PerEnvironment(_finished(default, aliases), values)


def _drafts(
    fields: Fields,
    kind: Kind,
    environments: Mapping[str, EnvironmentSpec] | None,
    positions: dict[str, Position],
    report: Report,
    *,
    data: bool,
) -> PerEnvironment[_Draft]:
    entry = fields.entry("kubernetes")
    if entry is None:
        return PerEnvironment()
    if not isinstance(entry.value, Table):
        list(fields.tables("kubernetes", "{resources: {requests: {cpu: 250m}}}"))
        return PerEnvironment()

    def read(node: Node, key: str) -> _Draft | None:
        return _draft(node, key, kind, positions, report, data=data)

    if _by_environment(entry.value, environments or ()):
        names = None if environments is None else environments.keys()
        return per_environment(entry.value, "kubernetes", read, names, report)
    return PerEnvironment(read(entry.value, "kubernetes"))


def _by_environment(table: Table, environments: Collection[str]) -> bool:
    """Whether its keys are environments: at least one is, or none is a key of `kubernetes:` or near to one."""
    known = KEYS[Kind.SERVICE]
    if any(key == "default" or (key in environments and key not in known) for key in table.entries):
        return True
    return bool(table.entries) and not any(get_close_matches(key, known, 1) for key in table.entries)


def _draft(
    node: Node, key: str, kind: Kind, positions: dict[str, Position], report: Report, *, data: bool
) -> _Draft | None:
    if not isinstance(node, Table):
        report.add(node, f"{key!r} must be a table of keys, not {describe(node)}", "Write {expose: load-balancer}.")
        return None
    fields = Fields(node, KEYS[kind], key, report, REFUSED[kind])
    found = {name: entry.value for name, entry in node.entries.items() if name in KEYS[kind]}
    host = f"host{key.removeprefix('kubernetes')}"
    if data and "autoscale" in found:
        message = "'autoscale' cannot stand beside data: its folder has one writer"
        report.add(fields.position("autoscale"), message, "Remove it, or keep the data in a resource.")
        del found["autoscale"]
    return _Draft(
        resources=read_resources(found["resources"], "resources", report) if "resources" in found else None,
        expose=_expose(found["expose"], host, positions, report) if "expose" in found else None,
        writable=_writable(fields, report) if "writable" in found else None,
        autoscale=_autoscale(found["autoscale"], report) if "autoscale" in found else None,
        patches=read_patches(found["patches"], kind, report) if "patches" in found else None,
    )


def _merged(drafts: list[_Draft]) -> _Draft:
    found: dict[str, Any] = {}
    for draft in drafts:
        for each in fields_of(draft):
            if found.get(each.name) is None:
                found[each.name] = getattr(draft, each.name)
    return _Draft(**found)


def _finished(draft: _Draft, aliases: tuple[Alias, ...]) -> ClusterShape:
    shape = ClusterShape(
        writable=draft.writable or (), autoscale=draft.autoscale, aliases=aliases, patches=draft.patches or ()
    )
    if draft.expose is not None:
        shape = replace(shape, expose=draft.expose.kind, host=draft.expose.host, via=draft.expose.via)
    if draft.resources is not None:
        requests, limits = completed(draft.resources, dict(shape.requests), dict(shape.limits))
        shape = replace(shape, requests=tuple(sorted(requests.items())), limits=tuple(sorted(limits.items())))
    return shape


def _expose(node: Node, host_key: str, positions: dict[str, Position], report: Report) -> _Exposed | None:
    if isinstance(node, Scalar):
        word = one_of(node, "expose", EXPOSED, report)
        if word is not None and word.text in NAMED:
            hint = f"Write expose: {{kind: {word.text}, host: shop.acme.example}}."
            report.add(node, f"'expose' needs the host that the {word.text} answers to", hint)
            return None
        return None if word is None else _Exposed(Exposure(word.text))
    if not isinstance(node, Table):
        report.add(node, f"'expose' cannot be {describe(node)}", _EXPOSE)
        return None
    fields = Fields(node, EXPOSE_KEYS, "expose", report)
    fields.require("kind", _EXPOSE)
    entry = fields.entry("kind")
    word = one_of(entry.value, "kind", EXPOSED, report) if entry else None
    if word is None:
        return None
    kind = Exposure(word.text)
    if kind not in NAMED:
        for key in EXPOSE_KEYS[1:]:
            if key in fields:
                report.add(fields.position(key), f"{key!r} is for an ingress or a gateway, not a {kind}", "Remove it.")
        return _Exposed(kind)
    fields.require("host", "Write the name that it answers to, such as host: shop.acme.example")
    if kind is Exposure.GATEWAY:
        fields.require("via", "Write the gateway that people come through, as via: NAMESPACE/NAME")
    host, via = fields.text("host"), fields.text("via")
    if host is not None and _right_host(node.entries["host"].value, host, report):
        positions[host_key] = fields.position("host")
    else:
        host = None
    if via is not None:
        _check_via(node.entries["via"].value, via, kind, report)
    return _Exposed(kind, host or "", via or "")


def _right_host(node: Node, host: str, report: Report) -> bool:
    right = _DNS.fullmatch(host.removeprefix("*.")) is not None and not re.fullmatch(r"[0-9.]+", host)
    if not right:
        hint = "Write a name such as shop.acme.example: small letters, no https://, no port, no path."
        report.add(node, f"'host' must be a name of DNS, not {describe(node)}", hint)
    return right


def _check_via(node: Node, via: str, kind: Exposure, report: Report) -> None:
    parts = via.split("/")
    right = len(parts) == (2 if kind is Exposure.GATEWAY else 1)
    if not right or not all(_DNS.fullmatch(part) for part in parts):
        hint = "Write NAMESPACE/NAME." if kind is Exposure.GATEWAY else "Write the name of an ingress class."
        report.add(node, f"'via' cannot be {describe(node)}", hint)


def _writable(fields: Fields, report: Report) -> tuple[str, ...] | None:
    items = fields.names("writable", "[/var/cache/app]")
    if items is None:
        return None
    found = set()
    for item in items:
        place = normpath(item.text)
        if not item.text.startswith("/"):
            hint = "Write it as the program sees it, such as /var/cache/app."
            report.add(item, f"'writable' must be absolute paths, not {describe(item)}", hint)
        elif place.strip("/") == "":
            report.add(item, f"'writable' cannot hold {describe(item)}", _ROOT_ONLY)
        elif any(place == system or place.startswith(f"{system}/") for system in _SYSTEM) or ":" in place:
            report.add(item, f"'writable' cannot hold {describe(item)}", "No volume can be mounted there.")
        else:
            found.add(f"/{place.lstrip('/')}")
    return tuple(sorted(found))


def _autoscale(node: Node, report: Report) -> Autoscale | None:
    if not isinstance(node, Table):
        report.add(node, f"'autoscale' must be a table of keys, not {describe(node)}", "Write {min: 2, max: 10}.")
        return None
    fields = Fields(node, AUTOSCALE_KEYS, "autoscale", report)
    fields.require("min", "Write the least number of instances, such as min: 2")
    fields.require("max", "Write the greatest number of instances, such as max: 10")
    least, most = fields.whole("min", 1, MOST_REPLICAS), fields.whole("max", 1, MOST_REPLICAS)
    entry = fields.entry("cpu")
    cpu = _percent(entry.value, report) if entry else 80
    if least is None or most is None or cpu is None:
        return None
    if least > most:
        report.add(fields.position("min"), f"'min' is {least}, above 'max', which is {most}", "Exchange them.")
        return None
    return Autoscale(least, most, cpu)


def _percent(node: Node, report: Report) -> int | None:
    match = re.fullmatch(r"([0-9]{1,4}) ?%?", node.text) if isinstance(node, Scalar) else None
    if match is None or not 1 <= int(match[1]) <= 1000:
        hint = "Write how much of what they requested instances use, such as 80%."
        report.add(node, f"'cpu' must be a percentage from 1% to 1000%, not {describe(node)}", hint)
        return None
    return int(match[1])


def _aliases(fields: Fields, positions: dict[str, Position], report: Report) -> tuple[Alias, ...]:
    entry = fields.entry("aliases")
    if entry is None:
        return ()
    if not isinstance(entry.value, Items):
        hint = "Write aliases: [shop-backend], or [{name: shop-backend, port: 8080}]."
        report.add(entry.value, f"'aliases' must be a list, not {describe(entry.value)}", hint)
        return ()
    found: dict[tuple[str, int], Alias] = {}
    for node in entry.value.items:
        alias, at = _alias(node, report)
        if alias is not None and (alias.name, alias.port) in found:
            message = f"{alias.name!r} stands twice in 'aliases' with the port {alias.port}"
            report.add(at, message, "Remove one of them, or give it another port.")
        elif alias is not None:
            found[alias.name, alias.port] = alias
            positions.setdefault(f"aliases.{alias.name}", (at.line, at.column))
    return tuple(found[each] for each in sorted(found))


def _alias(node: Node, report: Report) -> tuple[Alias | None, Node]:
    """The alias, and the node that holds its name."""
    port: int | None = 80
    if isinstance(node, Table):
        fields = Fields(node, ALIAS_KEYS, "aliases", report)
        fields.require("name", "Write {name: shop-backend, port: 8080}.")
        if "name" not in fields:
            return None, node
        if entry := fields.entry("port"):
            port = whole(entry.value, "port", 1, 65_535, report)
        node = node.entries["name"].value
    name = text(node, "each of aliases", report)
    if name is None or port is None:
        return None, node
    if not _SERVICE.fullmatch(name):
        report.add(node, f"{name!r} cannot be the name of a Service", _SERVICE_RULE)
        return None, node
    return Alias(name, port), node
