"""`environments:` of `tidegate.yaml`: as written, and after `like` was followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tidegate.manifest import places
from tidegate.manifest.cycles import cycles
from tidegate.manifest.fields import (
    Fields,
    check_name,
    check_variable,
    describe,
    meant,
    one_of,
    shares,
    size,
    text,
    value,
    whole,
)
from tidegate.manifest.models import EnvironmentSpec, MaxExtra, TargetSpec, Team
from tidegate.manifest.reader import Entry, Report, Scalar, Table
from tidegate.manifest.target import TARGETS, check_targets, read_target
from tidegate.model.pins import Value

KEYS = (
    "after", "like", "components", "teams", "isolation", "observe", "max_errors", "max_extra", "target", "env", "store",
    "artifacts",
)  # fmt: skip
MAX_EXTRA_KEYS = ("instances", "memory")
ISOLATION = ("logical", "server", "network", "account", "zone", "region")
RESERVED = ("default", "secret")  # keys of the tables that give one value per environment
MAX_ENVIRONMENTS = 1000
MOST_INSTANCES = 100_000

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """Who is in an environment: components by name, and all of some teams. None: everybody."""

    components: tuple[Scalar, ...]
    teams: tuple[Scalar, ...]


@dataclass
class EnvironmentDraft:
    """What is written about one environment; None where nothing (valid) is."""

    name: str
    at: tuple[int, int]
    like: Scalar | None = None
    after: tuple[Scalar, ...] | None = None
    selection: Selection | None = None
    isolation: Scalar | None = None
    observe: int | None = None
    max_errors: int | None = None
    target: TargetSpec | None = None
    target_at: tuple[int, int] = (1, 1)
    target_sure: bool = True  # False: it is written, and could not be read
    env: dict[str, tuple[Value, Entry]] = field(default_factory=dict)
    max_extra: MaxExtra | None = None
    store: Value | None = None
    artifacts: Value | None = None


def read_environments(fields: Fields, report: Report) -> dict[str, EnvironmentDraft] | None:
    """What is written about each environment, in the order of the file; None if they could not be read."""
    fields.require("environments", "Write environments: {dev: {}}")
    entry = fields.entry("environments")
    if entry is None:
        return None
    if isinstance(entry.value, Table) and not entry.value.entries:
        report.add(entry, "'environments' must not be empty", "Write environments: {dev: {}}")
        return None
    if not isinstance(entry.value, Table):
        list(fields.tables("environments", "{dev: {}}"))
        return None
    if len(entry.value.entries) > MAX_ENVIRONMENTS:
        report.add(entry, f"there are more than {MAX_ENVIRONMENTS} environments", "Divide them among projects.")
        return None
    drafts = {}
    for name, environment in entry.value.entries.items():
        check_name(name, "environment", environment, report)
        if name in RESERVED:
            report.add(
                environment, f"an environment cannot be called {name!r}", "The word means something else in env:."
            )
        draft = EnvironmentDraft(name, (environment.line, environment.column))
        if isinstance(environment.value, Table):
            _read_environment(draft, environment.value, report)
        elif not (isinstance(environment.value, Scalar) and environment.value.value is None):
            found = describe(environment.value)
            report.add(
                environment.value, f"environment {name!r} must be a table of keys, not {found}", f"Write {name}: {{}}."
            )
        drafts[name] = draft
    return drafts


def _read_environment(draft: EnvironmentDraft, table: Table, report: Report) -> None:
    fields = Fields(table, KEYS, f"environment {draft.name}", report)
    draft.like = _word(fields, "like", report)
    after = fields.names("after", "[dev]", one=True)
    draft.after = None if after is None else tuple(after)
    if "components" in fields or "teams" in fields:
        components = fields.names("components", "[payments]")
        teams = fields.names("teams", "[search]")
        if components is not None or teams is not None:
            draft.selection = Selection(tuple(components or ()), tuple(teams or ()))
    if entry := fields.entry("isolation"):
        draft.isolation = one_of(entry.value, "isolation", ISOLATION, report)
    observe = fields.duration("observe", -1)
    if observe >= 0 and observe % 1000:
        report.add(fields.position("observe"), "'observe' must be in whole seconds", "Write a time such as 5s.")
    elif observe >= 0:
        draft.observe = observe // 1000
    if entry := fields.entry("max_errors"):
        draft.max_errors = shares(entry.value, "max_errors", report)
    if entry := fields.entry("target"):
        draft.target = read_target(entry.value, "target", report)
        draft.target_at, draft.target_sure = (entry.line, entry.column), draft.target is not None
    for name, entry in fields.tables("env", "{LOG_LEVEL: info}"):
        check_variable(name, entry, report)
        found = value(entry.value, name, report)
        if found is not None:
            draft.env[name] = (found, entry)
    draft.max_extra = _max_extra(fields, report)
    if entry := fields.entry("store"):
        draft.store = places.store(entry.value, "store", report)
    if entry := fields.entry("artifacts"):
        draft.artifacts = places.artifacts(entry.value, "artifacts", report)


def _max_extra(fields: Fields, report: Report) -> MaxExtra | None:
    entry = fields.entry("max_extra")
    if entry is None:
        return None
    node = entry.value
    if not isinstance(node, Table):
        instances = whole(node, "max_extra", 1, MOST_INSTANCES, report)
        return None if instances is None else MaxExtra(instances)
    inner = Fields(node, MAX_EXTRA_KEYS, "max_extra", report)
    memory = inner.entry("memory")
    return MaxExtra(
        inner.whole("instances", 1, MOST_INSTANCES), size(memory.value, "memory", report) if memory else None
    )


def settle(
    drafts: Mapping[str, EnvironmentDraft],
    organization: str | None,
    store: Value | None,
    artifacts: Value | None,
    report: Report,
) -> tuple[dict[str, EnvironmentSpec], dict[str, Selection | None]]:
    """The environments after `like` was followed, without their components, and who is in each.

    `store` and `artifacts` hold for environments that name none.
    """
    specs, selections = {}, {}
    for draft in drafts.values():
        line = [drafts[name] for name in _lineage(draft, drafts, report)]
        specs[draft.name] = _inherit(draft, line, store, artifacts, report)
        selections[draft.name] = _first(line, lambda one: one.selection)
    _check_after(drafts, specs, report)
    places = {name: draft.at if draft.target is None else draft.target_at for name, draft in drafts.items()}
    check_targets(specs, places, organization, report)
    return specs, selections


def _word(fields: Fields, key: str, report: Report) -> Scalar | None:
    entry = fields.entry(key)
    if entry is None or text(entry.value, key, report) is None or not isinstance(entry.value, Scalar):
        return None
    return entry.value


def _lineage(draft: EnvironmentDraft, drafts: Mapping[str, EnvironmentDraft], report: Report) -> tuple[str, ...]:
    line = {draft.name: None}  # a set that keeps its order
    current = draft
    while current.like is not None:
        following = current.like.text
        if following not in drafts:
            if current is draft:
                message = f"environment {draft.name} is like the unknown environment {following!r}"
                report.add(current.like, message, meant(following, drafts))
            break
        if following in line:
            if following == draft.name and draft.name == min(line):  # once per cycle
                path = " → ".join([*line, following])
                report.add(current.like, f"'like' goes round in a circle: {path}", "Take one of them out.")
            break
        line[following] = None
        current = drafts[following]
    return tuple(line)


def _first(line: Sequence[EnvironmentDraft], pick: Callable[[EnvironmentDraft], T | None]) -> T | None:
    return next((found for one in line if (found := pick(one)) is not None), None)


def _inherit(
    draft: EnvironmentDraft,
    line: Sequence[EnvironmentDraft],
    store: Value | None,
    artifacts: Value | None,
    report: Report,
) -> EnvironmentSpec:
    after = _first(line, lambda one: one.after) or ()
    isolation = _first(line, lambda one: one.isolation)
    target = _first(line, lambda one: one.target) or TargetSpec()
    observe = _first(line, lambda one: one.observe)
    max_errors = _first(line, lambda one: one.max_errors)
    if isolation is not None and (draft.isolation or draft.target) and all(one.target_sure for one in line):
        _check_enforced(draft, isolation, target.kind, report)
    env: dict[str, Value] = {}
    for one in reversed(line):
        env.update((name, found) for name, (found, _) in one.env.items())
    return EnvironmentSpec(
        name=draft.name,
        after=tuple(name.text for name in after),
        isolation=isolation.text if isolation else None,
        observe=5 if observe is None else observe,
        max_errors=100 if max_errors is None else max_errors,
        target=target,
        env=tuple(sorted(env.items(), key=lambda item: item[0])),
        lineage=tuple(one.name for one in line),
        max_extra=_first(line, lambda one: one.max_extra) or MaxExtra(),
        store=next((one.store for one in line if one.store is not None), store),
        artifacts=next((one.artifacts for one in line if one.artifacts is not None), artifacts),
    )


def _check_enforced(draft: EnvironmentDraft, isolation: Scalar, kind: str, report: Report) -> None:
    able = TARGETS[kind]
    if isolation.text not in able:
        report.add(
            isolation if draft.isolation is not None else draft.target_at,
            f"environment {draft.name} asks for isolation {isolation.text!r}, which the target {kind} cannot enforce",
            f"The target {kind} can enforce: {', '.join(able)}. Write isolation: {able[-1]}, or leave it out.",
        )


def check_selected_teams(
    drafts: Mapping[str, EnvironmentDraft], teams: Mapping[str, Team] | None, report: Report
) -> None:
    """Report teams that are not there. None: nothing is known of them."""
    for draft in drafts.values():
        for team in draft.selection.teams if draft.selection else ():
            if teams is not None and team.text not in teams:
                message = f"environment {draft.name} is for the unknown team {team.text!r}"
                report.add(team, message, meant(team.text, teams))


def _check_after(drafts: Mapping[str, EnvironmentDraft], specs: Mapping[str, EnvironmentSpec], report: Report) -> None:
    for draft in drafts.values():
        for name in draft.after or ():
            if name.text not in drafts:
                message = f"environment {draft.name} comes after the unknown environment {name.text!r}"
                report.add(name, message, meant(name.text, drafts))
    for path in cycles({name: [one for one in spec.after if one in specs] for name, spec in specs.items()}):
        message = f"'after' goes round in a circle: {' → '.join(path)}"
        report.add(drafts[path[0]].at, message, "An environment comes after others only: take one of them out.")
