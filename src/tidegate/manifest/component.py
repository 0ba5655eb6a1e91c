"""`service.yaml`, `worker.yaml` and `task.yaml`: one component."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from posixpath import basename, dirname

from tidegate.manifest.cluster import read_cluster
from tidegate.manifest.fields import (
    NAME,
    NAME_RULE,
    Fields,
    check_variable,
    flag,
    is_secret,
    meant,
    path,
    per_environment,
    text,
    value,
    whole,
)
from tidegate.manifest.health import read_health
from tidegate.manifest.image import brings_its_command, read_image
from tidegate.manifest.models import ComponentSpec, PerEnvironment, Position
from tidegate.manifest.organization import Organization
from tidegate.manifest.reader import Node, Report, Scalar, Table
from tidegate.model.address import url_variable
from tidegate.model.component import Hook, Kind, Runtime
from tidegate.model.pins import Value

FILES: Mapping[str, Kind] = {f"{kind}.yaml": kind for kind in Kind}
_ALL = ("name", "team", "build", "run", "needs", "env", "settings", "sources", "image", "kubernetes")
KEYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SERVICE: (
        *_ALL, "replicas", "health", "verify", "expose", "port", "drain", "grace", "before", "after", "data", "overlap",
        "aliases",
    ),
    Kind.WORKER: (*_ALL, "replicas", "health", "grace", "before", "after", "data"),
    Kind.TASK: (*_ALL, "retry", "timeout"),
}  # fmt: skip
HOOK_KEYS = ("run", "undo", "retry", "timeout")
_NO_ADDRESS = "a worker has no address"
_ONCE = "a task runs once, when somebody asks for it"
_HOOK = "a task changes data by itself; a release with instances has this"
REFUSED: Mapping[Kind, Mapping[str, str]] = {
    Kind.SERVICE: dict.fromkeys(("retry", "timeout"), "it belongs into before:, after: or task.yaml"),
    Kind.WORKER: {
        **dict.fromkeys(("port", "expose", "verify", "drain", "aliases"), _NO_ADDRESS),
        "overlap": "the old instances of a worker always stop before new ones start",
        **dict.fromkeys(("retry", "timeout"), "it belongs into before:, after: or task.yaml"),
    },
    Kind.TASK: {
        **dict.fromkeys(
            ("replicas", "health", "verify", "expose", "port", "drain", "grace", "data", "overlap", "aliases"), _ONCE
        ),
        **dict.fromkeys(("before", "after"), _HOOK),
    },
}


def read_component(table: Table, kind: Kind, known: Organization, report: Report, root_name: str) -> ComponentSpec:
    """The component that one manifest describes; where it is wrong, with defaults (`report` says that it is).

    The manifest is the file of `report`; `root_name` names a component at the root that has no name.
    """
    folder = dirname(report.file) or "."
    fields = Fields(table, KEYS[kind], f"{kind}.yaml", report, REFUSED[kind])
    environments = None if known.environments is None else known.environments.keys()
    if not brings_its_command(fields):
        fields.require("run", "Write the command that starts it, such as run: python -m app")
    positions: dict[str, Position] = {key: fields.position(key) for key in table.entries}
    needs = fields.names("needs", "[backend]") or []
    positions.update((f"needs.{need.text}", (need.line, need.column)) for need in needs)
    drafts = known.resources or {}
    resources = {need.text: drafts[need.text].values for need in needs if need.text in drafts}
    runtime = Runtime(
        run=fields.text("run") or "",
        folder=folder,
        needs=tuple(sorted(need.text for need in needs if need.text not in resources)),
        resources=tuple(sorted(resources)),
    )
    replicas: PerEnvironment[int] = PerEnvironment(1)
    exposed: PerEnvironment[bool] = PerEnvironment(False)
    if kind is Kind.TASK:
        timeout = fields.duration("timeout", runtime.timeout, positive=True)
        runtime = replace(runtime, retry=fields.flag("retry") or False, timeout=timeout)
    else:
        replicas = _replicas(fields, environments, positions, report)
        runtime = _with_instances(runtime, fields, report, address=kind is Kind.SERVICE)
        if runtime.data:
            _check_one_writer(replicas, positions, report)
    if kind is Kind.SERVICE:
        runtime = _with_address(runtime, fields, report)
        exposed = _exposed(fields, environments, report)
    return ComponentSpec(
        name=_name(fields, folder, root_name, report),
        kind=kind,
        team=_team(fields, known, report),
        folder=folder,
        manifest=report.file,
        sources=_sources(fields, folder, positions, report),
        build=fields.text("build") or "",
        runtime=runtime,
        image=read_image(fields, folder, positions, report),
        settings=_settings(fields, folder, report),
        replicas=replicas,
        exposed=exposed,
        env=_env(fields, {url_variable(need.text): need.text for need in needs}, environments, positions, report),
        resources=dict(sorted(resources.items())),
        cluster=read_cluster(
            fields, kind, None if environments is None else known.specs, positions, report, data=runtime.data
        ),
        positions=positions,
    )


def _with_instances(runtime: Runtime, fields: Fields, report: Report, *, address: bool) -> Runtime:
    """With what services and workers have in common."""
    return replace(
        runtime,
        health=read_health(fields, report, address=address),
        grace=fields.duration("grace", runtime.grace),
        before=_hook(fields, "before", report),
        after=_hook(fields, "after", report),
        data=fields.flag("data") or False,
    )


def _with_address(runtime: Runtime, fields: Fields, report: Report) -> Runtime:
    """With what services alone have. Old and new cannot both listen on a fixed port (but where instances have addresses
    of their own), or write into one folder."""
    port = fields.whole("port", 1, 65_535)
    overlap = fields.flag("overlap")
    if overlap and port is not None:
        message = f"'overlap' cannot be true: old and new cannot both listen on the fixed port {port}"
        report.add(fields.position("overlap"), message, "Let it listen on $PORT and remove port:, or remove overlap:.")
    elif overlap and runtime.data:
        message = "'overlap' cannot be true: the folder of data: has one writer"
        report.add(fields.position("overlap"), message, "Remove overlap:.")
    return replace(
        runtime,
        verify=fields.text("verify"),
        port=port,
        drain=fields.duration("drain", runtime.drain),
        overlap=overlap is not False,
    )


def _hook(fields: Fields, key: str, report: Report) -> Hook | None:
    entry = fields.entry(key)
    if entry is None:
        return None
    if not isinstance(entry.value, Table):
        run = text(entry.value, key, report)
        return None if run is None else Hook(run)
    inner = Fields(entry.value, HOOK_KEYS, key, report)
    inner.require("run", "Write the command, such as run: python -m app.migrate")
    run = inner.text("run")
    undo = inner.text("undo")
    retry = inner.flag("retry") or False
    timeout = inner.duration("timeout", 600_000, positive=True)
    return None if run is None else Hook(run, undo, retry, timeout)


def _check_one_writer(replicas: PerEnvironment[int], positions: Mapping[str, Position], report: Report) -> None:
    written = {"replicas.default": replicas.default, **{f"replicas.{name}": n for name, n in replicas.values.items()}}
    for key, count in written.items():
        if count is not None and count > 1:
            at = positions.get(key) or positions["replicas"]
            message = f"with data: there is one instance, not {count}: its folder has one writer"
            report.add(at, message, "Write replicas: 1, or keep the data in a resource.")


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
    fields: Fields,
    taken: Mapping[str, str],
    environments: Collection[str] | None,
    positions: dict[str, Position],
    report: Report,
) -> dict[str, PerEnvironment[Value]]:
    env: dict[str, PerEnvironment[Value]] = {}

    def read(node: Node, key: str) -> Value | None:
        return value(node, key, report)

    for name, entry in fields.tables("env", "{LOG_LEVEL: info}"):
        check_variable(name, entry, report)
        positions[f"env.{name}"] = (entry.line, entry.column)
        if isinstance(entry.value, Table):
            inner = entry.value.entries.items()
            positions.update((f"env.{name}.{key}", (one.line, one.column)) for key, one in inner)
        if name in taken:
            message = f"{name!r} cannot be set: it holds the address of {taken[name]}"
            report.add(entry, message, f"Remove it, or take {taken[name]} out of needs:.")
        if is_secret(entry.value):
            env[name] = PerEnvironment(read(entry.value, name))
        else:
            env[name] = per_environment(entry.value, name, read, environments, report)
    return env
