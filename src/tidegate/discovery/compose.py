"""A compose file: which of its services are components, and how they are connected."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import normpath
from typing import Any

from tidegate.discovery.candidate import Candidate, component_name, looks_secret
from tidegate.discovery.folder import read_folder
from tidegate.manifest.fields import VARIABLE, reserved
from tidegate.manifest.reader import Items, Node, Report, Scalar, TooManyProblems, read
from tidegate.model.address import url_variable

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True, slots=True)
class Composed:
    """What a compose file gives: components, and what a person has to decide."""

    file: str = ""
    candidates: tuple[Candidate, ...] = ()
    unknown: tuple[str, ...] = ()


def read_compose(root: Path) -> Composed:
    """The compose file at the root; nothing if there is none."""
    file = next((name for name in FILES if (root / name).is_file()), "")
    if not file:
        return Composed()
    report = Report(file)
    table = None
    with contextlib.suppress(TooManyProblems):
        table = read((root / file).read_bytes(), report)
    document = {} if table is None else {key: _plain(entry.value) for key, entry in table.entries.items()}
    services = document.get("services")
    unknown = [f"{one.file}:{one.line}:{one.column}: {one.message}" for one in report.problems]
    if not isinstance(services, dict):
        return Composed(file, unknown=(*unknown, f"{file} has no services."))
    with_sources = {name: one for name, one in services.items() if isinstance(one, dict) and "build" in one}
    for name in services.keys() - with_sources.keys():
        image = services[name].get("image", "") if isinstance(services[name], dict) else ""
        unknown.append(
            f"{file}: {name} ({image or 'no image'}) is a resource: say under resources: in tidegate.yaml how it is "
            "run here or where it lies, and name it in needs:."
        )
    names = {name: component_name(name) for name in with_sources}
    candidates: dict[str, Candidate] = {}
    for name, service in sorted(with_sources.items()):
        build = service["build"]
        context = build.get("context", ".") if isinstance(build, dict) else build
        folder = normpath(str(context))
        if folder.startswith(("..", "/")) or not (root / folder).is_dir():
            unknown.append(f"{file}: the folder of {name}, {context}, is not in this project.")
        elif folder in candidates:
            unknown.append(
                f"{file}: {name} shares the folder {folder} with {candidates[folder].name}; give it its own."
            )
        else:
            candidate = read_folder(root / folder, folder, names[name], _command(service), _port(service))
            if candidate is None:
                unknown.append(f"{file}: cannot see how {name} is started; write run: in {folder}/service.yaml.")
            else:
                candidates[folder] = _connected(candidate, service, names, file)
    return Composed(file, tuple(candidates.values()), tuple(sorted(unknown)))


def _connected(candidate: Candidate, service: dict[str, Any], names: dict[str, str], file: str) -> Candidate:
    """With needs, variables, health and exposure. A variable that leads to another service gets its address."""
    depends = service.get("depends_on") or ()
    needs = {names[one] for one in depends if one in names} if isinstance(depends, dict | list) else set()
    env: dict[str, Any] = {}
    unknown = list(candidate.unknown)
    prefix = ""
    for key, value in sorted(_environment(service).items()):
        other = re.match(r"https?://([\w.-]+)(?::[0-9]+)?(/.*)?$", value)
        if reserved(key) and key != "PORT":
            unknown.append(f"{file}: {key} of {candidate.name} is left out: Tidegate sets it. Use another name.")
        if reserved(key) or not VARIABLE.fullmatch(key):
            continue
        if other and other[1] in names and names[other[1]] != candidate.name:
            need = names[other[1]]
            needs.add(need)
            address = url_variable(need)
            if key != address or other[2]:
                prefix += f'{key}="${address}{other[2] or ""}" '
        elif looks_secret(key, value):
            env[key] = {"secret": f"env:{key}"}
            unknown.append(f"{candidate.name} gets {key} from your environment: set it before `tidegate up`.")
        elif "${" in value or re.match(r"\$\w", value):
            unknown.append(f"{file}: {key} of {candidate.name} is {value}, which comes from outside: write it in env:.")
        else:
            env[key] = value
    addresses = {url_variable(need) for need in needs}
    return replace(
        candidate,
        run=f"env {prefix}{candidate.run}" if prefix else candidate.run,
        needs=tuple(sorted(needs)),
        env={key: value for key, value in env.items() if key not in addresses},
        health=_health(service) or candidate.health,
        expose=bool(service.get("ports")),
        why=(file, *candidate.why),
        unknown=tuple(unknown),
    )


def _environment(service: dict[str, Any]) -> dict[str, str]:
    found = service.get("environment")
    if isinstance(found, dict):
        return {key: _word(value) for key, value in found.items() if not isinstance(value, dict | list)}
    pairs = [str(one).partition("=") for one in found] if isinstance(found, list) else []
    return {key: value if equals else f"${{{key}}}" for key, equals, value in pairs}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _command(service: dict[str, Any]) -> str:
    parts = []
    for key in ("entrypoint", "command"):
        found = service.get(key)
        if isinstance(found, list):
            parts.append(" ".join(shlex.quote(str(word)) for word in found))
        elif isinstance(found, str) and found:
            parts.append(found)
    return " ".join(parts).replace("$$", "$")


def _port(service: dict[str, Any]) -> int | None:
    ports = service.get("ports") or service.get("expose")
    first = ports[0] if isinstance(ports, list) and ports else None
    target = first.get("target") if isinstance(first, dict) else first
    match = re.search(r"([0-9]{1,5})(?:/tcp)?$", str(target))
    return int(match[1]) if match and 0 < int(match[1]) <= 65_535 else None


def _health(service: dict[str, Any]) -> str:
    check = service.get("healthcheck")
    test = check.get("test") if isinstance(check, dict) else None
    words = " ".join(str(word) for word in test) if isinstance(test, list) else str(test or "")
    match = re.search(r"https?://[^/\s]+(/[\w/.-]*)", words)
    return match[1] if match else ""


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.text if isinstance(node.value, float | int) and not isinstance(node.value, bool) else node.value
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    return {key: _plain(entry.value) for key, entry in node.entries.items()}
