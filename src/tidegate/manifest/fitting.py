"""Whether components, resources and environments fit the targets that they are on: what only Kubernetes can, what only
local processes can, and what each of them asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tidegate.errors import Problem
from tidegate.manifest.environments import EnvironmentDraft
from tidegate.manifest.image import DOCKERFILE
from tidegate.manifest.models import ComponentSpec, EnvironmentSpec, PerEnvironment, Position
from tidegate.manifest.organization import FILE, Organization
from tidegate.manifest.resources import reachable
from tidegate.manifest.target import KUBERNETES
from tidegate.model.pins import Resource, Secret

KEPT = f"{KUBERNETES}:"  # how references to secrets of a cluster begin


@dataclass(frozen=True)
class Fitted:
    """What does not fit, and what does and is worth a word all the same."""

    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def fit(
    organization: Organization, components: Mapping[str, ComponentSpec], environments: Mapping[str, EnvironmentSpec]
) -> Fitted:
    """Look at every component in every environment that has it."""
    drafts = organization.environments or {}
    sure = [one for one in environments.values() if all(drafts[name].target_sure for name in one.lineage)]
    homes = {name: [one for one in sure if name in one.components] for name in components}
    problems: list[Problem] = []
    for name, spec in components.items():
        clusters = [one for one in homes[name] if one.target.kind == KUBERNETES]
        local = [one for one in homes[name] if one.target.kind != KUBERNETES]
        if organization.images is not None:
            problems += _images(spec, clusters, local)
        problems += _secrets(spec, local)
        if clusters and name.endswith("-"):
            message = f"{name!r} cannot be the name of a component in {clusters[0].name}, which is on {KUBERNETES}"
            hint = "Names in a cluster end with a letter or digit."
            problems.append(Problem(spec.manifest, *spec.position("name"), message, hint))
    problems += _aliases(organization, components)
    problems += _hosts(components, homes)
    problems += _environment_secrets(drafts, sure)
    problems += _resources(organization, components, homes)
    return Fitted(tuple(problems), tuple(_unreachable(components, homes)))


def _place_of(positions: Mapping[str, Position], key: str, environment: EnvironmentSpec) -> Position | None:
    """Where what holds for `key` of a component in an environment is written: for it, for one that it is like, as the
    default, or once for all."""
    keys = [*(f"{key}.{name}" for name in environment.lineage), f"{key}.default", key]
    return next((positions[one] for one in keys if one in positions), None)


def _images(spec: ComponentSpec, clusters: list[EnvironmentSpec], local: list[EnvironmentSpec]) -> Iterator[Problem]:
    """In a cluster it is an image; on this machine it has a command."""
    image = spec.image
    told = "image" in spec.positions and not image.tool  # what is written there is wrong, and was reported
    if clusters and not (image.ready or image.dockerfile or image.base) and not told:
        message = f"{spec.name} cannot become an image, which {clusters[0].name} needs: it is on {KUBERNETES}"
        hint = (
            f"Put a {DOCKERFILE} beside this file, or write image: {{base: NAME@sha256:…}} here, or "
            f"images: {{base: NAME@sha256:…}} in {FILE} for all components."
        )
        yield Problem(spec.manifest, 1, 1, message, hint)
    if local and not spec.runtime.run and "run" not in spec.positions and "image" in spec.positions:
        message = f"{spec.name} has no run:, so it cannot run in {local[0].name}, which is on {local[0].target.kind}"
        hint = f"Write the command in run:, or keep it out of {local[0].name} (components: or teams: in {FILE})."
        yield Problem(spec.manifest, *spec.position("image"), message, hint)


def _secrets(spec: ComponentSpec, local: Iterable[EnvironmentSpec]) -> Iterator[Problem]:
    for environment in local:
        for name, values in spec.env.items():
            value = values.at(environment.lineage)
            if isinstance(value, Secret) and value.reference.startswith(KEPT):
                at = _place_of(spec.positions, f"env.{name}", environment) or (1, 1)
                yield _out_of_reach(spec.manifest, at, name, environment)


def _environment_secrets(
    drafts: Mapping[str, EnvironmentDraft], environments: Iterable[EnvironmentSpec]
) -> Iterator[Problem]:
    """Told once for each variable, at the first environment that it does not fit."""
    told = set()
    for environment in environments:
        for name, value in environment.env:
            if environment.target.kind != KUBERNETES and isinstance(value, Secret) and value.reference.startswith(KEPT):
                entry = next(drafts[one].env[name][1] for one in environment.lineage if name in drafts[one].env)
                at = (entry.line, entry.column)
                if at not in told:
                    told.add(at)
                    yield _out_of_reach(FILE, at, name, environment)


def _out_of_reach(file: str, at: Position, name: str, environment: EnvironmentSpec) -> Problem:
    message = f"{name!r} is kept by a cluster, and {environment.name} is on {environment.target.kind}"
    hint = f'Write {{secret: "env:NAME"}} for {environment.name}, and this for environments on {KUBERNETES}.'
    return Problem(file, *at, message, hint)


def _resources(
    organization: Organization, components: Mapping[str, ComponentSpec], homes: Mapping[str, list[EnvironmentSpec]]
) -> Iterator[Problem]:
    """What a cluster runs is an image, and has another address than 127.0.0.1. What nobody uses may be as it is."""
    for name, draft in (organization.resources or {}).items():
        users = [spec.name for spec in components.values() if name in spec.resources]
        used = {one.name: one for user in users for one in homes[user]}
        told = set()
        for environment in used.values():
            at = next((draft.places[one] for one in (*environment.lineage, "default") if one in draft.places), None)
            if at is None or at in told or not draft.sure:
                continue
            problem = _resource(name, draft.values, at, environment)
            if problem is not None:
                told.add(at)
                yield problem


def _resource(
    name: str, values: PerEnvironment[Resource | Secret | str], at: Position, environment: EnvironmentSpec
) -> Problem | None:
    value = values.at(environment.lineage)
    where = f"{environment.name}, which is on {environment.target.kind}"
    if isinstance(value, Secret) and value.reference.startswith(KEPT) and environment.target.kind != KUBERNETES:
        return _out_of_reach(FILE, at, name, environment)
    if not isinstance(value, Resource) or environment.target.kind != KUBERNETES:
        return None
    if not value.image:
        hint = "Write image: NAME@sha256:… beside run:, or url: alone where it lies elsewhere."
        return Problem(FILE, *at, f"resource {name} has no image to run in, as it must have in {where}", hint)
    if not reachable(value):
        hint = "Write it as postgresql://$HOST:$PORT/app; on local $HOST is 127.0.0.1."
        return Problem(FILE, *at, f"resource {name} needs $HOST in its url in {where}", hint)
    if name.endswith("-"):
        hint = "Names in a cluster end with a letter or digit."
        return Problem(FILE, *at, f"{name!r} cannot be the name of a resource in {where}", hint)
    return None


def _hosts(components: Mapping[str, ComponentSpec], homes: Mapping[str, list[EnvironmentSpec]]) -> Iterator[Problem]:
    """A host leads to one component of one environment in a cluster."""
    owners: dict[tuple[str, str], str] = {}
    for name, spec in components.items():
        told = set()
        for environment in homes[name]:
            shape = spec.cluster.at(environment.lineage)
            if environment.target.kind != KUBERNETES or shape is None or not shape.host:
                continue
            what = f"{name} in {environment.name}"
            owner = owners.setdefault((environment.target.context, shape.host), what)
            at = _place_of(spec.positions, "host", environment) or (1, 1)
            if owner != what and at not in told:
                told.add(at)
                message = f"the host {shape.host} would lead to {owner} and to {what}, in the same cluster"
                hint = f"Give each a host of its own: kubernetes: {{{environment.name}: {{expose: {{…}}}}}}."
                yield Problem(spec.manifest, *at, message, hint)


def _aliases(organization: Organization, components: Mapping[str, ComponentSpec]) -> Iterator[Problem]:
    """A name in the cluster leads to one component; its own name may have more ports."""
    owners = {name: f"{name} itself is called so" for name in components}
    owners |= {name: f"the resource {name} is called so" for name in organization.resources or ()}
    for spec in components.values():
        mine = f"it is an alias of {spec.name} already"
        for name in _names(spec):
            owner = owners.setdefault(name, mine)
            if name != spec.name and owner != mine:
                at = spec.position(f"aliases.{name}")
                message = f"{name!r} cannot be an alias of {spec.name}: {owner}"
                yield Problem(spec.manifest, *at, message, "A name leads to one component: remove one of them.")


def _names(spec: ComponentSpec) -> list[str]:
    """The names among its aliases, which are the same in all environments."""
    return list(dict.fromkeys(alias.name for alias in spec.cluster.default.aliases)) if spec.cluster.default else []


def _unreachable(
    components: Mapping[str, ComponentSpec], homes: Mapping[str, list[EnvironmentSpec]]
) -> Iterator[Problem]:
    """Names of Services are known in a cluster only."""
    for name, spec in components.items():
        aliases = _names(spec)
        local = [one.name for one in homes[name] if one.target.kind != KUBERNETES]
        if aliases and local:
            where = ", ".join(local)
            message = f"{', '.join(aliases)}: nobody can reach {name} by this name in {where}, outside of a cluster"
            hint = f"Let those that call it name {name} in needs: and read its address from the environment variable."
            yield Problem(spec.manifest, *spec.position("aliases"), message, hint)
