"""A small project with a simulated target: the screens of real runs, without processes."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tidegate.app.change import Selection, plan_down, plan_up
from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.cli.changing import Changing, Course, Manner
from tidegate.cli.views.progress import ProgressView
from tidegate.composition import workspace_of
from tidegate.manifest import load
from tidegate.model.step import Step
from tidegate.testing.simulated import SimulatedTarget

GOLDEN = Path(__file__).parent / "golden"

TIDEGATE = """\
organization: acme
teams: {shop: {members: [ana@acme.example]}}
environments:
  dev: {observe: 5s}
  stage: {after: dev}
"""
BACKEND = "run: python3 -m backend\nhealth: /healthz\nreplicas: 3\nsettings: settings/\n"
FRONTEND = "run: python3 -m frontend\nhealth: /healthz\nneeds: [backend]\nexpose: true\n"


def write_project(root: Path) -> None:
    """Two services: a frontend that needs a backend."""
    (root / "tidegate.yaml").write_text(TIDEGATE)
    for name, manifest in (("backend", BACKEND), ("frontend", FRONTEND)):
        (root / name).mkdir()
        (root / name / "service.yaml").write_text(manifest)
        (root / name / "main.py").write_text(f"print('{name} 1')\n")
    (root / "backend" / "settings").mkdir()
    (root / "backend" / "settings" / "default.json").write_text('{"greeting": "hello", "limits": {"orders": 5}}')


@dataclass
class World:
    """A workspace whose target is simulated."""

    root: Path
    workspace: Workspace
    target: SimulatedTarget
    faults: list[Callable[[Step], None]] = field(default_factory=list)

    def edit(self, component: str, text: str) -> None:
        """Change the sources of a component."""
        (self.root / component / "main.py").write_text(text)

    async def up(self, *environments: str, manner: Manner | None = None, remove: tuple[str, ...] = ()) -> list[Course]:
        """What `tidegate up` does."""

        async def plan(progress: ProgressView, environment: str) -> Planned:
            planned = await plan_up(self.workspace, environment, Selection(remove=remove), build=progress.build)
            self.target.releases.update(planned.releases)  # type: ignore[attr-defined]
            return planned

        return await Changing(self.workspace, manner or Manner("apply")).run(environments, plan)

    async def down(self, environment: str, manner: Manner) -> list[Course]:
        """What `tidegate down` does."""

        async def plan(_: ProgressView, name: str) -> Planned:
            return await plan_down(self.workspace, name)

        return await Changing(self.workspace, manner).run([environment], plan)


@asynccontextmanager
async def world(root: Path) -> AsyncIterator[World]:
    """The project of `write_project`, on a simulated target."""
    write_project(root)
    async with workspace_of(load(root)) as workspace:
        target = SimulatedTarget({}, clock=workspace.clock)
        parts = replace(workspace.parts(), target=target)
        made = replace(workspace, actor="ana@acme.example", parts=lambda: parts)
        yield World(root, made, target)


def normal(text: str, root: Path) -> str:
    """A screen without what differs from run to run: digests, seconds, times, the project's folder, line tails."""
    text = text.replace(str(root), "PROJECT")
    text = re.sub(r"\b[0-9a-f]{10}\b", "0123456789", text)
    text = re.sub(r"\b\d+\.\d s\b", "0.1 s", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b", "2030-01-01 10:00", text)
    lines = [line.rstrip() for line in text.splitlines()]
    builds = sorted(line for line in lines if re.search(r"  (building …|built in .*)$", line))  # side by side
    others = [line for line in lines if line not in builds]
    return "".join(f"{line}\n" for line in [*builds, *others])


def matches_golden(name: str, text: str) -> None:
    """Compare a screen with its file; with UPDATE_GOLDEN=1 in the environment, write the file instead."""
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()
