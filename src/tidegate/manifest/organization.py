"""`tidegate.yaml`: the organization, its teams and its environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.manifest import places
from tidegate.manifest.environments import (
    EnvironmentDraft,
    Selection,
    check_selected_teams,
    read_environments,
    settle,
)
from tidegate.manifest.fields import VARIABLE, Fields, check_name, describe
from tidegate.manifest.image import read_images
from tidegate.manifest.models import EnvironmentSpec, Team
from tidegate.manifest.reader import Report, Scalar, Table
from tidegate.manifest.resources import ResourceDraft, read_resources
from tidegate.model.component import NO_IMAGE, ImageRecipe
from tidegate.model.pins import Value

FILE = "tidegate.yaml"
KEYS = ("organization", "teams", "environments", "resources", "store", "artifacts", "builds", "images")
TEAM_KEYS = ("members",)
BUILDS_KEYS = ("pass",)


@dataclass(frozen=True)
class Organization:
    """What `tidegate.yaml` says. `teams`, `environments`, `resources` or `images` None: they could not be read, so
    nothing is known of them.

    `specs` are the environments after `like` was followed, still without their components.
    """

    name: str = ""
    teams: Mapping[str, Team] | None = None
    environments: Mapping[str, EnvironmentDraft] | None = None
    specs: Mapping[str, EnvironmentSpec] = field(default_factory=dict)
    selections: Mapping[str, Selection | None] = field(default_factory=dict)
    build_pass: tuple[str, ...] = ()
    resources: Mapping[str, ResourceDraft] | None = None
    store: Value | None = None
    artifacts: Value | None = None
    images: ImageRecipe | None = NO_IMAGE


def read_organization(table: Table, report: Report) -> Organization:
    """Everything in `tidegate.yaml` but what concerns components."""
    fields = Fields(table, KEYS, FILE, report)
    fields.require("organization", "Write organization: acme")
    name = fields.text("organization")
    teams = _teams(fields, report)
    if teams is not None and not teams and name is not None:
        teams = {name: Team(name)}
    environments = read_environments(fields, report)
    place = fields.entry("store")
    store = places.store(place.value, "store", report) if place else None
    place = fields.entry("artifacts")
    artifacts = places.artifacts(place.value, "artifacts", report) if place else None
    check_selected_teams(environments or {}, teams, report)
    specs, selections = settle(environments or {}, name, store, artifacts, report)
    return Organization(
        name=name or "",
        teams=teams,
        environments=environments,
        specs=specs,
        selections=selections,
        build_pass=_builds(fields, report),
        resources=read_resources(fields, None if environments is None else environments.keys(), report),
        store=store,
        artifacts=artifacts,
        images=read_images(fields, report),
    )


def _teams(fields: Fields, report: Report) -> dict[str, Team] | None:
    entry = fields.entry("teams")
    if entry is not None and not isinstance(entry.value, Table):
        list(fields.tables("teams", "{web: {members: [ana@acme.example]}}"))
        return None
    teams = {}
    for name, team in fields.tables("teams", "{}"):
        check_name(name, "team", team, report)
        members: list[Scalar] = []
        if isinstance(team.value, Table):
            inner = Fields(team.value, TEAM_KEYS, f"team {name}", report)
            members = inner.names("members", "[ana@acme.example]") or []
        elif not (isinstance(team.value, Scalar) and team.value.value is None):
            report.add(team.value, f"team {name!r} cannot be {describe(team.value)}", "Write {members: [...]}.")
        teams[name] = Team(name, tuple(member.text for member in members))
    return dict(sorted(teams.items()))


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
