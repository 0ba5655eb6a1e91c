"""From candidates that know nothing of each other to components of one project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tidegate.discovery.candidate import Candidate, component_name
from tidegate.discovery.existing import Existing
from tidegate.manifest.cycles import cycles
from tidegate.model.address import url_variable


def settled(candidates: list[Candidate], existing: Existing, unknown: list[str]) -> list[Candidate]:
    """Names and fixed ports once each, needs without circles and only of what is there or proposed, and who is exposed.

    `existing` are the names that are taken already. What a person has to know goes to `unknown`.
    """
    used = {*existing.services, *existing.others}
    ports: dict[int, str] = {}
    named: list[Candidate] = []
    for candidate in candidates:
        name, port = candidate.name, candidate.port
        if name in used:
            name = component_name(candidate.folder)
        number = 2
        while name in used:
            name, number = f"{candidate.name[:36]}-{number}", number + 1
        used.add(name)
        if port in ports:
            unknown.append(f"{name} and {ports[port]} listen on the same port {port}: let both listen on $PORT.")
            port = None
        elif port is not None:
            ports[port] = name
        named.append(replace(candidate, name=name, port=port))
    addresses = {url_variable(name): name for name in used - existing.others}
    by_name = {one.name: replace(one, needs=_needs(one, addresses)) for one in named}
    while paths := cycles({one.name: one.needs for one in by_name.values()}):
        first, second = paths[0][0], paths[0][1]
        unknown.append(f"needs go round in a circle ({' → '.join(paths[0])}): {first} does not need {second} here.")
        by_name[first] = replace(by_name[first], needs=tuple(n for n in by_name[first].needs if n != second))
    return [_exposed(one, by_name, unknown) for one in by_name.values()]


def _needs(one: Candidate, addresses: Mapping[str, str]) -> tuple[str, ...]:
    """Those that were found in files, and those whose address the sources read, unless it is given them in `env`."""
    found = {need for need in one.needs if need in addresses.values()}
    found |= {addresses[name] for name in one.reads if name in addresses and name not in one.env}
    return tuple(sorted(found - {one.name}))


def _exposed(one: Candidate, all_: Mapping[str, Candidate], unknown: list[str]) -> Candidate:
    """Where nothing says it: what others call is theirs. Without circles there is always one that nobody calls."""
    if one.expose is not None:
        return one
    callers = sorted(other.name for other in all_.values() if one.name in other.needs)
    if callers:
        unknown.append(f"{one.name} is called by {', '.join(callers)}: add expose: true if users call it too.")
    return replace(one, expose=not callers)
