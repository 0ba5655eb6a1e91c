"""What no single manifest can tell: whether components and environments fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tidegate.errors import Problem
from tidegate.manifest.fields import meant
from tidegate.manifest.models import ComponentSpec, EnvironmentSpec
from tidegate.manifest.organization import FILE, Organization, cycles
from tidegate.manifest.reader import Report
from tidegate.model.address import url_variable


@dataclass(frozen=True)
class Assembled:
    """Environments that know their components, components that know their environments."""

    environments: Mapping[str, EnvironmentSpec]
    components: Mapping[str, ComponentSpec]
    problems: tuple[Problem, ...]


def assemble(organization: Organization, specs: Iterable[ComponentSpec], unreadable: frozenset[str]) -> Assembled:
    """Put everything together and find what does not fit.

    `unreadable` are the names of components whose manifests could not be read: they exist, and nothing is said of them.
    """
    problems: list[Problem] = []
    components: dict[str, ComponentSpec] = {}
    for spec in sorted(specs, key=lambda one: one.manifest):
        first = components.get(spec.name)
        if first is None:
            components[spec.name] = spec
        else:
            line, column = first.position("name")
            hint = f"The first one is at {first.manifest}:{line}:{column}; give one of them another name:."
            message = f"there are two components called {spec.name!r}"
            problems.append(Problem(spec.manifest, *spec.position("name"), message, hint))
    components = dict(sorted(components.items()))
    environments = _with_components(organization, components, unreadable, problems)
    _check_needs(organization, components, environments, unreadable, problems)
    _check_ports(components, environments, problems)
    _check_variables(organization, components, environments, problems)
    settled = {name: replace(spec, environments=environments) for name, spec in components.items()}
    return Assembled(environments, settled, tuple(problems))


def _with_components(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    unreadable: frozenset[str],
    problems: list[Problem],
) -> dict[str, EnvironmentSpec]:
    report = Report(FILE)
    known = {*components, *unreadable}
    for draft in (organization.environments or {}).values():
        for chosen in draft.selection.components if draft.selection else ():
            if chosen.text not in known:
                message = f"environment {draft.name} is for the unknown component {chosen.text!r}"
                report.add(chosen, message, meant(chosen.text, known))
    problems.extend(report.problems)
    by_team: dict[str, set[str]] = {}
    for spec in components.values():
        by_team.setdefault(spec.team, set()).add(spec.name)
    everybody = frozenset(components)
    environments = {}
    for name, environment in organization.specs.items():
        selection = organization.selections[name]
        inside = everybody
        if selection is not None:
            inside = everybody & {one.text for one in selection.components}
            inside = inside.union(*(by_team.get(team.text, set()) for team in selection.teams))
        environments[name] = replace(environment, components=inside)
    return environments


def _check_needs(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    environments: Mapping[str, EnvironmentSpec],
    unreadable: frozenset[str],
    problems: list[Problem],
) -> None:
    unsure = {spec.name for spec in components.values() if organization.teams and spec.team not in organization.teams}
    known = {*components, *unreadable}
    homes: dict[str, set[str]] = {name: set() for name in components}
    for environment in environments.values():
        for name in environment.components:
            homes[name].add(environment.name)
    for spec in components.values():
        for need in spec.runtime.needs:
            at = spec.position(f"needs.{need}")
            if need not in known:
                message = f"{spec.name} needs the unknown component {need!r}"
                problems.append(Problem(spec.manifest, *at, message, meant(need, known)))
            elif need in components and spec.name not in unsure and need not in unsure:
                lacking = sorted(homes[spec.name] - homes[need])
                if lacking:
                    where = ", ".join(lacking)
                    message = f"{spec.name} needs {need}, which is not in {where}"
                    hint = f"Let {need} into {where} (components: or teams: in {FILE}), or keep {spec.name} out."
                    problems.append(Problem(spec.manifest, *at, message, hint))
    for path in cycles({name: [n for n in spec.runtime.needs if n in components] for name, spec in components.items()}):
        spec = components[path[0]]
        at = spec.position(f"needs.{path[1]}")
        message = f"needs go round in a circle: {' → '.join(path)}"
        problems.append(
            Problem(spec.manifest, *at, message, "None of them could start first: remove one of these needs.")
        )


def _check_ports(
    components: Mapping[str, ComponentSpec], environments: Mapping[str, EnvironmentSpec], problems: list[Problem]
) -> None:
    """A fixed port belongs to one instance on the whole machine."""
    owners: dict[int, ComponentSpec] = {}
    fix = "Let it listen on $PORT and remove port:."
    for spec in components.values():
        port = spec.runtime.port
        if port is None:
            continue
        at = spec.position("port")
        homes = [one for one in environments.values() if spec.name in one.components]
        for environment in homes:
            count = spec.replicas.at(environment.lineage) or 1
            if count > 1:
                message = f"{spec.name} listens on the fixed port {port} and has {count} replicas in {environment.name}"
                problems.append(Problem(spec.manifest, *at, message, f"{fix} Or write replicas: 1."))
                break
        if len(homes) > 1:
            names = ", ".join(one.name for one in homes)
            message = f"{spec.name} listens on the fixed port {port} in several environments of this machine: {names}"
            problems.append(Problem(spec.manifest, *at, message, f"{fix} Or let it into one environment only."))
        if port in owners:
            message = f"{spec.name} listens on the fixed port {port}, as {owners[port].name} does"
            problems.append(Problem(spec.manifest, *at, message, fix))
        owners.setdefault(port, spec)


def _check_variables(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    environments: Mapping[str, EnvironmentSpec],
    problems: list[Problem],
) -> None:
    """A variable of an environment must not be the address of something that a component there needs."""
    addresses = {url_variable(need): need for spec in components.values() for need in spec.runtime.needs}
    report = Report(FILE)
    for draft in (organization.environments or {}).values():
        for name in draft.env.keys() & addresses.keys():
            entry = draft.env[name][1]
            inside = environments[draft.name].components
            user = next((c for c in sorted(inside) if addresses[name] in components[c].runtime.needs), None)
            if user is not None:
                message = f"{name!r} cannot be set: for {user} it holds the address of {addresses[name]}"
                report.add(entry, message, "Remove it or use another name.")
    problems.extend(report.problems)
