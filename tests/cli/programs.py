"""The whole command line over a simulated target: a shop with a database, a migration, a worker and a task."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.worlds import normal
from tidegate import composition
from tidegate.app.workspace import Workspace
from tidegate.cli.main import run
from tidegate.cli.output import output_schema
from tidegate.errors import StepFailed
from tidegate.manifest import load
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.step import Run, Step
from tidegate.ports.store import Store
from tidegate.ports.target import Epoch, LogLine, Outcome
from tidegate.testing.simulated import SimulatedTarget

SCHEMA = jsonschema.Draft202012Validator(output_schema())
FILES = {
    "tidegate.yaml": """\
organization: acme
teams: {shop: {members: [ana@acme.example]}}
environments:
  dev: {observe: 5s, max_extra: 2}
resources:
  orders-db:
    dev: {run: "postgres -D $DATA -p $PORT", url: "postgresql://127.0.0.1:$PORT/orders", data: true}
""",
    "orders/service.yaml": """\
run: python3 -m orders
replicas: 2
needs: [orders-db]
before: python3 -m orders.migrate
""",
    "frontend/service.yaml": "run: python3 -m frontend\nneeds: [orders]\nreplicas: 2\n",
    "mailer/worker.yaml": "run: python3 -m mailer\n",
    "seed/task.yaml": "run: python3 -m seed\nneeds: [orders-db]\n",
}


class Shown(SimulatedTarget):
    """Knows the releases of the store, and keeps what runs print."""

    store: Store
    said: tuple[str, ...] = ()

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """As `Target.run`."""
        self.releases = {release.digest: release for release in await self.store.releases()}
        return await super().run(step, epoch)

    async def output(self, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
        """As `KeepsOutput.output`."""
        assert run.component
        for line in self.said if not follow or run in self.runs else ():
            yield line

    async def logs(
        self,
        environment: str,
        groups: Sequence[GroupAddress],
        *,
        tail: int,
        follow: bool,
        resources: Sequence[str] = (),
    ) -> AsyncIterator[LogLine]:
        """As `FollowsLogs.logs`: every one of them says its name."""
        assert environment
        assert tail
        assert not follow
        for name in (*(group.component for group in groups), *resources):
            yield LogLine(name, f"{name}.0", f"this is {name}")


@dataclass
class Program:
    """`tidegate`, called as users do, in a project whose environments are simulated."""

    root: Path
    capture: pytest.CaptureFixture[str]
    target: Shown = field(default_factory=Shown)

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """What one command shows: the command, standard error, then standard output."""
        self.capture.readouterr()
        assert run(["-C", str(self.root), *arguments]) == status, self.capture.readouterr()
        done = self.capture.readouterr()
        assert "Traceback" not in done.err
        return normal(f"$ tidegate {' '.join(arguments)}\n{done.err}---\n{done.out}", self.root)

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The document that a command prints, which is of the schema."""
        self.capture.readouterr()
        assert run(["-C", str(self.root), *arguments, "--json"]) == status
        found: dict[str, Any] = json.loads(self.capture.readouterr().out)
        SCHEMA.validate(found)
        return found

    def edit(self, *components: str) -> None:
        """Give components sources that make new releases."""
        for component in components:
            file = self.root / component / "main.py"
            file.write_text((file.read_text() if file.exists() else "") + "print('again')\n")

    def interrupt_migration(self) -> None:
        """Let the next migration be ended in the middle."""

        def fault(step: Step) -> StepFailed | None:
            if not isinstance(step, Run):
                return None
            self.target.fault = lambda _: None
            self.target.runs[step.run] = ObservedRun(step.run, RunState.INTERRUPTED, step.pin)
            return StepFailed(
                "cannot run python3 -m orders.migrate",
                "It was ended in the middle.",
                component=step.run.component,
                instance=step.run.name,
                log=("adding column price", "filling it: 40 %"),
            )

        self.target.fault = fault


@pytest.fixture
def tidegate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """A project that was never brought up."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    program = Program(tmp_path, capsys)
    program.edit("orders", "frontend", "mailer", "seed")

    @asynccontextmanager
    async def opened(_: Path, *, whole: bool) -> AsyncIterator[Workspace]:
        async with composition.workspace_of(load(tmp_path, whole=whole)) as workspace:
            parts = replace(workspace.parts(), target=program.target)
            program.target.store = parts.store
            yield replace(workspace, actor="ana@acme.example", parts=lambda: parts)

    monkeypatch.setattr(composition, "open_workspace", opened)
    monkeypatch.setenv("COLUMNS", "90")
    return program
