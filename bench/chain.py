"""A chain of small services: each asks the next, the first one is what users see."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from bench.project import Project

SERVICE = Path(__file__).with_name("service.py")


def links(size: int) -> list[str]:
    """Their names, from the users' side."""
    return [f"link-{place}" for place in range(size)]


def write_chain(project: Project, size: int, *, environments: str, replicas: str = "1") -> None:
    """Manifests and code; `environments` and `replicas` as in YAML. Commits nothing."""
    names = links(size)
    files = {"tidegate.yaml": f"organization: bench\nteams: {{all: {{}}}}\nenvironments:\n{environments}"}
    for name, need in zip(names, [*names[1:], ""], strict=True):
        argument = f" {need.upper().replace('-', '_')}_URL" if need else ""
        files[f"services/{name}/service.py"] = SERVICE.read_text()
        files[f"services/{name}/service.yaml"] = (
            f"name: {name}\nteam: all\nhealth: /healthz\nreplicas: {replicas}\nneeds: [{need}]\n"
            f"run: {shlex.quote(sys.executable)} -I -S service.py{argument}\n"
        )
    project.write(files)


def write_release(project: Project, size: int, release: str, *, last: str = "") -> None:
    """A change of all of them, committed; `last` is what the last one becomes if that is something else."""
    names = links(size)
    said = dict.fromkeys(names, release) | {names[-1]: last or release}
    project.write({f"services/{name}/release": text for name, text in said.items()})
    project.commit()
