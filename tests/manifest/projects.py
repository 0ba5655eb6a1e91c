"""Projects on disk, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tidegate.errors import ManifestError, Problem
from tidegate.manifest import Project, load

TOP = "organization: acme\nenvironments:\n  dev: {}\n"


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def problems(root: Path, files: Mapping[str, str | bytes]) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        load(write(root, files))
    return list(caught.value.problems)


def loaded(root: Path, files: Mapping[str, str | bytes]) -> Project:
    return load(write(root, files))
