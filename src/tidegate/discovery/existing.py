"""What is described already: the project that a folder lies in, and the names of its components."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import ProjectNotFound
from tidegate.manifest.component import FILES
from tidegate.manifest.organization import FILE as TIDEGATE_YAML
from tidegate.manifest.project import find_root, walk
from tidegate.manifest.reader import Report, Scalar, Table, TooManyProblems, read
from tidegate.model.component import Kind


def project_above(root: Path) -> Path | None:
    """The project above `root` that takes up what is written there; None if there is none, or it does not look here."""
    try:
        above = find_root(root.parent)
    except ProjectNotFound:
        return None
    return above if any(above / place == root for place, _ in walk(above, [])) else None


@dataclass(frozen=True, slots=True)
class Existing:
    """Names that are taken: services, which have an address, and others (workers, tasks, resources), which proposals
    do not call."""

    services: frozenset[str]
    others: frozenset[str]


def names_below(root: Path) -> Existing:
    """What has a manifest below `root`, or stands under `resources:` there, whether it is without mistakes or not."""
    services: set[str] = set()
    top = _read(root / TIDEGATE_YAML)
    entry = top.entries.get("resources") if top else None
    others = set(entry.value.entries) if entry and isinstance(entry.value, Table) else set()
    for place, names in walk(root, []):
        for file in FILES.keys() & names:
            (services if FILES[file] is Kind.SERVICE else others).add(_name(root / place / file))
    return Existing(frozenset(services), frozenset(others))


def _name(file: Path) -> str:
    table = _read(file)
    entry = table.entries.get("name") if table else None
    written = entry.value if entry else None
    return written.value if isinstance(written, Scalar) and isinstance(written.value, str) else file.parent.name


def _read(file: Path) -> Table | None:
    with contextlib.suppress(OSError, TooManyProblems):
        return read(file.read_bytes(), Report(file.name))
    return None
