"""`service.yaml`: one component."""

from __future__ import annotations

from collections.abc import Collection
from posixpath import basename, dirname

from tidegate.manifest.fields import (
    NAME,
    NAME_RULE,
    Fields,
    describe,
    flag,
    meant,
    path,
    per_environment,
    value,
    whole,
)
from tidegate.manifest.models import ComponentSpec, PerEnvironment, Position
from tidegate.manifest.organization import Organization, check_variable
from tidegate.manifest.reader import Node, Report, Scalar, Table
from tidegate.model.address import url_variable
from tidegate.model.component import Health, HealthKind, Kind, Runtime
from tidegate.model.pins import Value

FILE = "service.yaml"
KEYS = (
    "name", "team", "build", "run", "replicas", "health", "verify", "needs", "expose", "env", "settings", "port",
    "sources", "drain", "grace",
)  # fmt: skip
HEALTH_KEYS = ("http", "tcp", "command", "interval", "timeout", "start_timeout", "failures")


def read_service(table: Table, known: Organization, report: Report, root_name: str) -> ComponentSpec:
    """The component that one manifest describes; where it is wrong, with defaults (`report` says that it is).

    The manifest is the file of `report`; `root_name` names a component at the root that has no name.
    """
    folder = dirname(report.file) or "."
    fields = Fields(table, KEYS, "service.yaml", report)
    environments = None if known.environments is None else known.environments.keys()
    fields.require("run", "Write the command that starts it, such as run: python -m app")
    positions: dict[str, Position] = {key: fields.position(key) for key in table.entries}
    needs = fields.names("needs", "[backend]") or []
    positions.update((f"needs.{need.text}", (need.line, need.column)) for need in needs)
    settings = _settings(fields, folder, report)
    return ComponentSpec(
        name=_name(fields, folder, root_name, report),
        kind=Kind.SERVICE,
        team=_team(fields, known, report),
        folder=folder,
        manifest=report.file,
        sources=_sources(fields, folder, positions, report),
        build=fields.text("build") or "",
        runtime=Runtime(
            run=fields.text("run") or "",
            folder=folder,
            health=_health(fields, report),
            verify=fields.text("verify"),
            needs=tuple(sorted(need.text for need in needs)),
            port=fields.whole("port", 1, 65_535),
            drain=fields.duration("drain", 10_000),
            grace=fields.duration("grace", 10_000),
        ),
        settings=settings,
        replicas=_replicas(fields, environments, positions, report),
        exposed=_exposed(fields, environments, report),
        env=_env(fields, {url_variable(need.text) for need in needs}, environments, report),
        positions=positions,
    )


def _name(fields: Fields, folder: str, root_name: str, report: Report) -> str:
    written = fields.text("name")
    if written is not None:
        if not NAME.fullmatch(written):
            report.add(fields.table.entries["name"].value, f"{written!r} cannot be the name of a component", NAME_RULE)
        return written
    name = root_name if folder == "." else basename(folder)
    if "name" not in fields and not NAME.fullmatch(name):
        message = f"'name' is missing, and the folder's name {name!r} cannot be the name of a component"
        report.add((fields.table.line, fields.table.column), message, NAME_RULE)
    return name


def _team(fields: Fields, known: Organization, report: Report) -> str:
    team = fields.text("team")
    if known.teams is None:
        return team or ""
    if team is not None and team not in known.teams:
        report.add(fields.table.entries["team"].value, f"unknown team {team!r}", meant(team, known.teams))
    if team is None and "team" not in fields:
        if len(known.teams) == 1:
            return next(iter(known.teams))
        if known.teams:
            at = (fields.table.line, fields.table.column)
            report.add(at, "'team' is missing, and there is more than one", f"Write one of: {', '.join(known.teams)}.")
    return team or ""


def _sources(fields: Fields, folder: str, positions: dict[str, Position], report: Report) -> tuple[str, ...]:
    found = {folder}
    for item in fields.names("sources", "[../../libs/common]") or []:
        place = path(item, "sources", folder, report)
        if place is not None:
            found.add(place)
            positions[f"sources.{place}"] = (item.line, item.column)
    return (folder, *sorted(found - {folder}))


def _settings(fields: Fields, folder: str, report: Report) -> str | None:
    entry = fields.entry("settings")
    if entry is None or fields.text("settings") is None or not isinstance(entry.value, Scalar):
        return None
    return path(entry.value, "settings", folder, report)


def _replicas(
    fields: Fields, environments: Collection[str] | None, positions: dict[str, Position], report: Report
) -> PerEnvironment[int]:
    entry = fields.entry("replicas")
    if entry is None:
        return PerEnvironment(1)
    if isinstance(entry.value, Table):
        inner = entry.value.entries.items()
        positions.update((f"replicas.{name}", (one.line, one.column)) for name, one in inner)

    def read(node: Node, key: str) -> int | None:
        found = whole(node, key, 0, 1000, report)
        if found == 0:
            report.add(node, f"{key!r} must be at least 1", "To leave it out, use components: of the environment.")
            return None
        return found

    return per_environment(entry.value, "replicas", read, environments, report)


def _exposed(fields: Fields, environments: Collection[str] | None, report: Report) -> PerEnvironment[bool]:
    entry = fields.entry("expose")
    if entry is None:
        return PerEnvironment(False)
    return per_environment(entry.value, "expose", lambda node, key: flag(node, key, report), environments, report)


def _env(
    fields: Fields, taken: Collection[str], environments: Collection[str] | None, report: Report
) -> dict[str, PerEnvironment[Value]]:
    env: dict[str, PerEnvironment[Value]] = {}

    def read(node: Node, key: str) -> Value | None:
        return value(node, key, report)

    for name, entry in fields.tables("env", "{LOG_LEVEL: info}"):
        check_variable(name, entry, report)
        if name in taken:
            message = f"{name!r} cannot be set: it holds the address of a component it needs"
            report.add(entry, message, "Remove it, or take the component out of needs:.")
        if isinstance(entry.value, Table) and set(entry.value.entries) == {"secret"}:
            env[name] = PerEnvironment(read(entry.value, name))
        else:
            env[name] = per_environment(entry.value, name, read, environments, report)
    return env


def _health(fields: Fields, report: Report) -> Health:
    entry = fields.entry("health")
    if entry is None:
        return Health()
    node = entry.value
    if isinstance(node, Scalar):
        if node.value == "tcp":
            return Health()
        if isinstance(node.value, str) and node.value.startswith("/"):
            return Health(HealthKind.HTTP, node.value)
    if not isinstance(node, Table):
        hint = 'Write a path such as /healthz, tcp, or {command: "./check"}.'
        report.add(node, f"'health' cannot be {describe(node)}", hint)
        return Health()
    inner = Fields(node, HEALTH_KEYS, "health", report)
    asked = [key for key in ("http", "tcp", "command") if key in inner]
    if len(asked) > 1:
        report.add(inner.position(asked[1]), f"'health' has both {asked[0]} and {asked[1]}", "Keep one of them.")
    if "tcp" in inner and flag(node.entries["tcp"].value, "tcp", report) is False:
        report.add(node.entries["tcp"].value, "'tcp' can only be true", "Write http: or command: instead.")
    http, command = inner.text("http"), inner.text("command")
    if http is not None and not http.startswith("/"):
        report.add(node.entries["http"].value, f"'http' must be a path, not {http!r}", f"Write http: /{http}.")
    kind = {"http": HealthKind.HTTP, "command": HealthKind.COMMAND}.get(asked[0] if asked else "", HealthKind.TCP)
    failures = inner.whole("failures", 1, 1000)
    return Health(
        kind=kind,
        check=(http if kind is HealthKind.HTTP else command if kind is HealthKind.COMMAND else "") or "",
        interval=inner.duration("interval", 1000, positive=True),
        timeout=inner.duration("timeout", 2000, positive=True),
        start_timeout=inner.duration("start_timeout", 60_000, positive=True),
        failures=3 if failures is None else failures,
    )
