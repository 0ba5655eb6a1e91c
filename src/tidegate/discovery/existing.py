"""What is described already: the project that a folder lies in, and the names of its components."""

from __future__ import annotations

from pathlib import Path

from tidegate.errors import ProjectNotFound
from tidegate.manifest.project import find_root, walk
from tidegate.manifest.reader import Report, Scalar, read
from tidegate.manifest.service import FILE


def project_above(root: Path) -> Path | None:
    """The project above `root` that takes up what is written there; None if there is none, or it does not look here."""
    try:
        above = find_root(root.parent)
    except ProjectNotFound:
        return None
    return above if any(above / place == root for place, _ in walk(above, [])) else None


def names_below(root: Path) -> frozenset[str]:
    """The components that have a `service.yaml` below `root`, whether it is without mistakes or not."""
    return frozenset(_name(root / place) for place, names in walk(root, []) if FILE in names)


def _name(folder: Path) -> str:
    try:
        table = read((folder / FILE).read_bytes(), Report(FILE))
    except OSError:
        table = None
    entry = table.entries.get("name") if table else None
    written = entry.value if entry else None
    return written.value if isinstance(written, Scalar) and isinstance(written.value, str) else folder.name
