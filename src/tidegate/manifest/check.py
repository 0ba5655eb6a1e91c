"""What no single manifest can tell: whether components and environments fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from tidegate.errors import Problem
from tidegate.manifest.cycles import cycles
from tidegate.manifest.fields import meant
from tidegate.manifest.fitting import fit
from tidegate.manifest.models import ComponentSpec, EnvironmentSpec
from tidegate.manifest.organization import FILE, Organization
from tidegate.manifest.reader import Report, TooManyProblems
from tidegate.model.address import url_variable
from tidegate.model.component import Kind


@dataclass(frozen=True)
class Assembled:
    """Environments that know their components, components that know their environments."""

    environments: Mapping[str, EnvironmentSpec]
    components: Mapping[str, ComponentSpec]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


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
    _check_resources(organization, components, environments, problems)
    _check_ports(components, environments, problems)
    _check_variables(organization, components, environments, problems)
    fitted = fit(organization, components, environments)
    settled = {name: replace(spec, environments=environments) for name, spec in components.items()}
    return Assembled(environments, settled, (*problems, *fitted.problems), fitted.notes)


def _with_components(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    unreadable: frozenset[str],
    problems: list[Problem],
) -> dict[str, EnvironmentSpec]:
    with _collected(Report(FILE), problems) as report:
        known = {*components, *unreadable}
        for draft in (organization.environments or {}).values():
            for chosen in draft.selection.components if draft.selection else ():
                if chosen.text not in known:
                    message = f"environment {draft.name} is for the unknown component {chosen.text!r}"
                    report.add(chosen, message, meant(chosen.text, known))
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
    homes: dict[str, set[str]] = {name: set() for name in components}
    for environment in environments.values():
        for name in environment.components:
            homes[name].add(environment.name)
    known = {*components, *unreadable, *(organization.resources or ())}
    for spec in components.values():
        with _collected(Report(spec.manifest), problems) as report:
            for need in spec.runtime.needs:
                at = spec.position(f"needs.{need}")
                needed = components.get(need)
                if need not in known:
                    if organization.resources is not None:
                        message = f"{spec.name} needs the unknown component or resource {need!r}"
                        report.add(at, message, meant(need, known))
                elif needed is not None and needed.kind is not Kind.SERVICE:
                    message = f"{spec.name} needs {need}, which is a {needed.kind}: it has no address"
                    report.add(at, message, "Take it out of needs:; components call services and use resources.")
                elif needed is not None and spec.name not in unsure and need not in unsure:
                    lacking = ", ".join(sorted(homes[spec.name] - homes[need]))
                    if lacking:
                        hint = f"Let {need} into {lacking} (components: or teams: in {FILE}), or keep {spec.name} out."
                        report.add(at, f"{spec.name} needs {need}, which is not in {lacking}", hint)
    for path in cycles({name: [n for n in spec.runtime.needs if n in components] for name, spec in components.items()}):
        spec = components[path[0]]
        at = spec.position(f"needs.{path[1]}")
        message = f"needs go round in a circle: {' → '.join(path)}"
        problems.append(
            Problem(spec.manifest, *at, message, "None of them could start first: remove one of these needs.")
        )


def _check_resources(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    environments: Mapping[str, EnvironmentSpec],
    problems: list[Problem],
) -> None:
    """A resource is no component, and is there wherever somebody needs it."""
    resources = organization.resources or {}
    with _collected(Report(FILE), problems) as report:
        for name in sorted(resources.keys() & components.keys()):
            hint = f"They share their names: call it otherwise here, or in {components[name].manifest}."
            report.add(resources[name].at, f"resource {name!r} has the name of a component", hint)
    for spec in components.values():
        with _collected(Report(spec.manifest), problems) as report:
            homes = [one for one in environments.values() if spec.name in one.components] if spec.resources else []
            for need, values in spec.resources.items():
                lacking = [one.name for one in homes if values.at(one.lineage) is None]
                if lacking and resources[need].sure:
                    message = f"{spec.name} needs the resource {need}, which is not in {', '.join(lacking)}"
                    hint = f"Add {lacking[0]}: {{url: …}} (or default:) to {need} under resources: in {FILE}."
                    report.add(spec.position(f"needs.{need}"), message, hint)


def _check_ports(
    components: Mapping[str, ComponentSpec], environments: Mapping[str, EnvironmentSpec], problems: list[Problem]
) -> None:
    """A fixed port belongs to one instance on the whole machine; in a cluster each has addresses of its own."""
    owners: dict[int, ComponentSpec] = {}
    fix = "Let it listen on $PORT and remove port:."
    for spec in components.values():
        port = spec.runtime.port
        if port is None:
            continue
        at = spec.position("port")
        homes = [one for one in environments.values() if spec.name in one.components and one.target.kind == "local"]
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
        if homes and port in owners:
            message = f"{spec.name} listens on the fixed port {port}, as {owners[port].name} does"
            problems.append(Problem(spec.manifest, *at, message, fix))
        if homes:
            owners.setdefault(port, spec)


def _check_variables(
    organization: Organization,
    components: Mapping[str, ComponentSpec],
    environments: Mapping[str, EnvironmentSpec],
    problems: list[Problem],
) -> None:
    """A variable of an environment must not be the address of something that a component there needs."""
    needs = {name: {*spec.runtime.needs, *spec.runtime.resources} for name, spec in components.items()}
    addresses = {url_variable(need): need for several in needs.values() for need in several}
    with _collected(Report(FILE), problems) as report:
        for draft in (organization.environments or {}).values():
            for name in draft.env.keys() & addresses.keys():
                inside = environments[draft.name].components
                user = next((one for one in sorted(inside) if addresses[name] in needs[one]), None)
                if user is not None:
                    message = f"{name!r} cannot be set: for {user} it holds the address of {addresses[name]}"
                    report.add(draft.env[name][1], message, "Remove it or use another name.")


@contextmanager
def _collected(report: Report, problems: list[Problem]) -> Iterator[Report]:
    """What the report holds in the end is added to the problems."""
    with suppress(TooManyProblems):
        yield report
    problems.extend(report.problems)
