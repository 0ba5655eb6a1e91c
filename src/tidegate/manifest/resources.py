"""`resources:` of `tidegate.yaml`: what environments give to components and nobody releases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tidegate.manifest.fields import Fields, check_name, describe, is_secret, per_environment, secret
from tidegate.manifest.health import read_health
from tidegate.manifest.image import pinned
from tidegate.manifest.models import PerEnvironment
from tidegate.manifest.places import BY_REFERENCE, has_password
from tidegate.manifest.reader import Node, Report, Table
from tidegate.model.pins import Resource, Value

KEYS = ("run", "url", "health", "data", "grace", "image")
EXAMPLE = '{dev: {run: "postgres -D $DATA -p $PORT", url: "postgresql://127.0.0.1:$PORT/app", data: true}}'
_PORT = re.compile(r"\$PORT(?![A-Za-z0-9_])|\$\{PORT\}")
_HOST = re.compile(r"\$HOST(?![A-Za-z0-9_])|\$\{HOST\}")


@dataclass(frozen=True)
class ResourceDraft:
    """One resource, where its name stands, whether it was read without a mistake, and where what holds for an
    environment (or `default`) stands."""

    values: PerEnvironment[Resource | Value]
    at: tuple[int, int]
    sure: bool
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def read_resources(
    fields: Fields, environments: Collection[str] | None, report: Report
) -> dict[str, ResourceDraft] | None:
    """Name -> resource, sorted by name; None if they could not be read. `environments` None: they are not known."""
    entry = fields.entry("resources")
    if entry is not None and not isinstance(entry.value, Table):
        list(fields.tables("resources", f"{{catalog-db: {EXAMPLE}}}"))
        return None
    found = {}
    for name, one in fields.tables("resources", ""):
        before = len(report.problems)
        check_name(name, "resource", one, report)
        values = _read(one.value, name, environments, report)
        inner = one.value.entries.items() if isinstance(one.value, Table) else ()
        places = {key: (entry.line, entry.column) for key, entry in inner}
        found[name] = ResourceDraft(values, (one.line, one.column), len(report.problems) == before, places)
    return dict(sorted(found.items()))


def _read(
    node: Node, name: str, environments: Collection[str] | None, report: Report
) -> PerEnvironment[Resource | Value]:
    written = node.entries.keys() if isinstance(node, Table) else frozenset()
    if written and written <= {*KEYS, "secret"} and not written & {*(environments or ())}:
        hint = f"Write {name}: {{default: {{…}}}}, or one for each environment."
        report.add(node, f"resource {name!r} does not say for which environment this is", hint)
        return PerEnvironment()
    if not isinstance(node, Table):
        message = f"resource {name!r} must be a table of environments, not {describe(node)}"
        report.add(node, message, f"Write {name}: {EXAMPLE}.")
        return PerEnvironment()
    return per_environment(node, name, lambda inner, key: _one(inner, key, report), environments, report)


def _one(node: Node, key: str, report: Report) -> Resource | Value | None:
    if not isinstance(node, Table):
        hint = "Write {run: …, url: …} to run it here, or {url: …} where it lies elsewhere."
        report.add(node, f"{key!r} must be a table of keys, not {describe(node)}", hint)
        return None
    fields = Fields(node, KEYS, f"resource {key}", report)
    return _run(fields, report) if "run" in fields else _elsewhere(fields, report)


def _run(fields: Fields, report: Report) -> Resource | None:
    fields.require("url", "Write the URL that components get, such as postgresql://127.0.0.1:$PORT/app.")
    run = fields.text("run")
    entry = fields.entry("url")
    url = None
    if entry is not None and isinstance(entry.value, Table):
        hint = "Write it as text with $PORT in it. A URL that is secret belongs to a resource without run:."
        report.add(entry.value, "'url' of a resource that runs here must be a text", hint)
    elif entry is not None:
        url = fields.text("url")
        if url is not None and not _PORT.search(url):
            hint = "Write it as postgresql://127.0.0.1:$PORT/app: the port is chosen when it starts."
            report.add(entry.value, "'url' of a resource that runs here must contain $PORT", hint)
    health = read_health(fields, report)
    data = fields.flag("data") or False
    grace = fields.duration("grace", 10_000)
    image = fields.entry("image")
    reference = pinned(image.value, "image", report) if image else None
    return None if run is None or url is None else Resource(run, url, health, data, grace, reference or "")


def reachable(resource: Resource) -> bool:
    """Whether its URL is right at another address than 127.0.0.1."""
    return bool(_HOST.search(resource.url))


def _elsewhere(fields: Fields, report: Report) -> Value | None:
    for key in ("health", "data", "grace", "image"):
        if key in fields:
            hint = "Remove it, or add run: with the command that starts it."
            report.add(fields.position(key), f"{key!r} is for a resource that runs here", hint)
    fields.require("url", "Write run: and url: to run it here, or url: where it lies elsewhere.")
    entry = fields.entry("url")
    if entry is None:
        return None
    if isinstance(entry.value, Table) and is_secret(entry.value):
        return secret(entry.value, report, cluster=True)
    if isinstance(entry.value, Table):
        report.add(entry.value, "'url' must be a text or a secret", 'Write a URL, or {secret: "env:NAME"}.')
        return None
    url = fields.text("url")
    if url is not None and has_password(url):
        report.add(entry.value, "a password stands in 'url'", BY_REFERENCE)
    elif url is not None and (found := _PORT.search(url) or _HOST.search(url)):
        message = f"'url' holds {found[0]}, but nothing runs here"
        report.add(entry.value, message, "Add run: with the command that starts it.")
    return url
