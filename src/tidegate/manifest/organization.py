"""`tidegate.yaml`: the organization, its teams and its environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tidegate.manifest.fields import NAME, NAME_RULE, VARIABLE, Fields, describe, meant, shares, text, value
from tidegate.manifest.models import EnvironmentSpec, Team
from tidegate.manifest.reader import Entry, Report, Scalar, Table
from tidegate.model.pins import Value

FILE = "tidegate.yaml"
KEYS = ("organization", "teams", "environments", "builds")
TEAM_KEYS = ("members",)
ENVIRONMENT_KEYS = ("after", "like", "components", "teams", "isolation", "observe", "max_errors", "target", "env")
BUILDS_KEYS = ("pass",)
ISOLATION = ("logical", "server", "network", "account", "zone", "region")
TARGETS: Mapping[str, tuple[str, ...]] = {"local": ("logical",)}  # target -> the isolation it can enforce
RESERVED = ("default", "secret")  # keys of the tables that give one value per environment

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
    target: str | None = None
    env: dict[str, tuple[Value, Entry]] = field(default_factory=dict)


@dataclass(frozen=True)
class Organization:
    """What `tidegate.yaml` says. `teams` or `environments` None: they could not be read, so nothing is known of them.

    `specs` are the environments after `like` was followed, still without their components.
    """

    name: str = ""
    teams: Mapping[str, Team] | None = None
    environments: Mapping[str, EnvironmentDraft] | None = None
    specs: Mapping[str, EnvironmentSpec] = field(default_factory=dict)
    selections: Mapping[str, Selection | None] = field(default_factory=dict)
    build_pass: tuple[str, ...] = ()


def read_organization(table: Table, report: Report) -> Organization:
    """Everything in `tidegate.yaml` but what concerns components."""
    fields = Fields(table, KEYS, FILE, report)
    fields.require("organization", "Write organization: acme")
    name = fields.text("organization")
    teams = _teams(fields, report)
    if teams is not None and not teams and name is not None:
        teams = {name: Team(name)}
    environments = _environments(fields, report)
    known = Organization(name or "", teams, environments, build_pass=_builds(fields, report))
    if environments is None:
        return known
    specs, selections = {}, {}
    lineages = {draft.name: _lineage(draft, environments, report) for draft in environments.values()}
    _check_selected_teams(known, report)
    for draft in environments.values():
        line = [environments[name] for name in lineages[draft.name]]
        specs[draft.name] = _inherit(draft, line, report)
        selections[draft.name] = _first(line, lambda one: one.selection)
    _check_after(environments, specs, report)
    return replace(known, specs=specs, selections=selections)


def _teams(fields: Fields, report: Report) -> dict[str, Team] | None:
    entry = fields.entry("teams")
    if entry is not None and not isinstance(entry.value, Table):
        list(fields.tables("teams", "{web: {members: [ana@acme.example]}}"))
        return None
    teams = {}
    for name, team in fields.tables("teams", "{}"):
        _check_name(name, "team", team, report)
        members: list[Scalar] = []
        if isinstance(team.value, Table):
            inner = Fields(team.value, TEAM_KEYS, f"team {name}", report)
            members = inner.names("members", "[ana@acme.example]") or []
        elif not (isinstance(team.value, Scalar) and team.value.value is None):
            report.add(team.value, f"team {name!r} cannot be {describe(team.value)}", "Write {members: [...]}.")
        teams[name] = Team(name, tuple(member.text for member in members))
    return dict(sorted(teams.items()))


def _check_name(name: str, what: str, entry: Entry, report: Report) -> None:
    if not NAME.fullmatch(name):
        report.add(entry, f"{name!r} cannot be the name of {'an' if what[0] in 'eo' else 'a'} {what}", NAME_RULE)


def _environments(fields: Fields, report: Report) -> dict[str, EnvironmentDraft] | None:
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
    drafts = {}
    for name, environment in entry.value.entries.items():
        _check_name(name, "environment", environment, report)
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
    fields = Fields(table, ENVIRONMENT_KEYS, f"environment {draft.name}", report)
    draft.like = _word(fields, "like", report)
    after = fields.names("after", "[dev]", one=True)
    draft.after = None if after is None else tuple(after)
    if "components" in fields or "teams" in fields:
        components = fields.names("components", "[payments]")
        teams = fields.names("teams", "[search]")
        if components is not None or teams is not None:
            draft.selection = Selection(tuple(components or ()), tuple(teams or ()))
    draft.isolation = _one_of(fields, "isolation", ISOLATION, report)
    observe = fields.duration("observe", -1)
    if observe >= 0 and observe % 1000:
        report.add(fields.position("observe"), "'observe' must be in whole seconds", "Write a time such as 5s.")
    elif observe >= 0:
        draft.observe = observe // 1000
    if entry := fields.entry("max_errors"):
        draft.max_errors = shares(entry.value, "max_errors", report)
    target = _one_of(fields, "target", tuple(TARGETS), report)
    draft.target = target.text if target else None
    for name, entry in fields.tables("env", "{LOG_LEVEL: info}"):
        check_variable(name, entry, report)
        found = value(entry.value, name, report)
        if found is not None:
            draft.env[name] = (found, entry)


def check_variable(name: str, entry: Entry, report: Report) -> None:
    """Report a name that no environment variable can have, or that Tidegate gives itself."""
    if not VARIABLE.fullmatch(name):
        report.add(entry, f"{name!r} cannot be the name of an environment variable", "Use letters, digits and _.")
    elif name == "PORT" or name.startswith("TIDEGATE_"):
        report.add(
            entry, f"{name!r} cannot be set: Tidegate sets it for every instance", "Remove it or use another name."
        )


def _word(fields: Fields, key: str, report: Report) -> Scalar | None:
    entry = fields.entry(key)
    if entry is None or text(entry.value, key, report) is None or not isinstance(entry.value, Scalar):
        return None
    return entry.value


def _one_of(fields: Fields, key: str, words: Sequence[str], report: Report) -> Scalar | None:
    word = _word(fields, key, report)
    if word is not None and word.text not in words:
        hint = meant(word.text, words)
        known = f"It can be {', '.join(words)}."
        report.add(word, f"{key!r} cannot be {word.text!r}", f"{hint} {known}" if hint.startswith("Did") else known)
        return None
    return word


def _lineage(draft: EnvironmentDraft, drafts: Mapping[str, EnvironmentDraft], report: Report) -> tuple[str, ...]:
    line = [draft.name]
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
        line.append(following)
        current = drafts[following]
    return tuple(line)


def _first(line: Sequence[EnvironmentDraft], pick: Callable[[EnvironmentDraft], T | None]) -> T | None:
    return next((found for one in line if (found := pick(one)) is not None), None)


def _inherit(draft: EnvironmentDraft, line: Sequence[EnvironmentDraft], report: Report) -> EnvironmentSpec:
    after = _first(line, lambda one: one.after) or ()
    isolation = _first(line, lambda one: one.isolation)
    target = _first(line, lambda one: one.target) or "local"
    observe = _first(line, lambda one: one.observe)
    max_errors = _first(line, lambda one: one.max_errors)
    if isolation is not None and isolation.text not in TARGETS[target] and draft.isolation is not None:
        able = ", ".join(TARGETS[target])
        report.add(
            isolation,
            f"environment {draft.name} asks for isolation {isolation.text!r}, which the target {target} cannot enforce",
            f"The target {target} can enforce: {able}. Write isolation: {TARGETS[target][-1]}, or leave it out.",
        )
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
    )


def _check_selected_teams(known: Organization, report: Report) -> None:
    for draft in (known.environments or {}).values():
        for team in draft.selection.teams if draft.selection else ():
            if known.teams is not None and team.text not in known.teams:
                message = f"environment {draft.name} is for the unknown team {team.text!r}"
                report.add(team, message, meant(team.text, known.teams))


def _check_after(drafts: Mapping[str, EnvironmentDraft], specs: Mapping[str, EnvironmentSpec], report: Report) -> None:
    for draft in drafts.values():
        for name in draft.after or ():
            if name.text not in drafts:
                message = f"environment {draft.name} comes after the unknown environment {name.text!r}"
                report.add(name, message, meant(name.text, drafts))
    for path in cycles({name: [one for one in spec.after if one in specs] for name, spec in specs.items()}):
        message = f"'after' goes round in a circle: {' → '.join(path)}"
        report.add(drafts[path[0]].at, message, "An environment comes after others only: take one of them out.")


def cycles(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """One path a → b → a for each knot of names that lead back to themselves, beginning with its smallest name."""
    found: list[list[str]] = []
    state: dict[str, int] = {}  # 1: on the path, 2: done
    for root in sorted(graph):
        if root in state:
            continue
        path, waiting = [root], [iter(sorted(graph[root]))]
        state[root] = 1
        while waiting:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                state[path.pop()] = 2
            elif state.get(following) == 1:
                knot = path[path.index(following) :]
                turn = knot.index(min(knot))
                found.append([*knot[turn:], *knot[: turn + 1]])
            elif following not in state and following in graph:
                state[following] = 1
                path.append(following)
                waiting.append(iter(sorted(graph[following])))
    return found


def _builds(fields: Fields, report: Report) -> tuple[str, ...]:
    entry = fields.entry("builds")
    if entry is None:
        return ()
    if not isinstance(entry.value, Table):
        list(fields.tables("builds", "{pass: [HTTPS_PROXY]}"))
        return ()
    names = Fields(entry.value, BUILDS_KEYS, "builds", report).names("pass", "[HTTPS_PROXY]") or []
    for name in names:
        if not VARIABLE.fullmatch(name.text):
            report.add(
                name, f"{name.text!r} cannot be the name of an environment variable", "Use letters, digits and _."
            )
    return tuple(name.text for name in names)
