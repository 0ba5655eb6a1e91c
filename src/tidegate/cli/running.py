"""One run of a task: recover, plan, run, show what it prints as it comes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import anyio

from tidegate.app.change import apply, executor
from tidegate.app.settling import recover_environment
from tidegate.app.tasks import plan_run, run_of
from tidegate.app.workspace import Workspace
from tidegate.cli.changing import first, in_order
from tidegate.cli.interruption import Interruption
from tidegate.cli.task_output import TaskOutput
from tidegate.cli.views.console import clean, err
from tidegate.cli.views.progress import ProgressView
from tidegate.cli.views.run import Ran
from tidegate.errors import TidegateError
from tidegate.execution import Applied
from tidegate.execution.progress import Moment, Progress
from tidegate.model.address import RunAddress
from tidegate.model.step import Run
from tidegate.ports.target import KeepsOutput


@dataclass
class Running:
    """Runs a task once. With `quiet` or `json` nothing is printed while it runs; with `json` it is kept."""

    workspace: Workspace
    environment: str
    task: str
    why: str = ""
    quiet: bool = False
    json: bool = False
    _kept: list[str] = field(default_factory=list)
    _begun: float = 0.0
    _running: bool = False

    async def run(self) -> Ran:
        """Raises what planning and recovery raise, and what prevents the claim."""
        progress = ProgressView(err(), live=self.quiet or self.json)
        with progress, Interruption(progress.say, progress.close, (self.environment,)) as interruption:
            interruption.going_on = self._going_on
            planned = None
            with interruption.scope:
                if recovered := await recover_environment(self.workspace, self.environment, progress.step):
                    progress.say(in_order(self.environment, recovered))
                planned = await plan_run(self.workspace, self.environment, self.task)
            if planned is None:
                raise TidegateError("cannot go on: stopped", "Nothing was changed.")
            run = run_of(planned)
            output = TaskOutput(self.workspace, run, self._show)

            def report(seen: Progress) -> None:
                if seen.step is None:
                    return  # nothing is put back: a task has its effects
                progress.step(seen)
                if not isinstance(seen.step.step, Run):
                    return
                self._running = seen.moment is Moment.BEGUN
                if self._running:
                    self._begun = time.monotonic()
                    output.begun.set()

            own = executor(self.workspace, self.environment, report)
            interruption.executors.append(own)
            applied: list[Applied] = []
            failures: list[TidegateError] = []
            kept = isinstance(self.workspace.at(self.environment).target, KeepsOutput)
            try:
                async with anyio.create_task_group() as group:
                    if kept and not self.quiet:
                        group.start_soon(output.follow)
                    applied.append(await apply(self.workspace, own, planned, why=self.why))
                    group.cancel_scope.cancel()
            except* TidegateError as errors:
                failures.append(first(errors))
            if failures:
                raise failures[0]
            return await self._ended(run, applied[0], output if kept and not self.quiet else None)

    async def _ended(self, run: RunAddress, applied: Applied, output: TaskOutput | None) -> Ran:
        seconds = time.monotonic() - self._begun if self._begun else 0.0
        trouble = None
        status = None
        try:
            if output and self._begun:
                await output.rest()
            seen = (await self.workspace.at(self.environment).target.observe(self.environment)).runs.get(run)
            status = seen.status if seen else None
        except TidegateError as error:
            trouble = error
        (result,) = applied.changes
        failure = result.failure or result.unfinished
        return Ran(self.environment, self.task, run.name, status, seconds, tuple(self._kept), failure, trouble)

    def _show(self, line: str) -> None:
        if self.json:
            self._kept.append(line)
            return
        sys.stdout.write(clean(line) + "\n")
        sys.stdout.flush()

    def _going_on(self) -> str:
        if not self._running:
            return ""
        return (
            f"{self.task} goes on in {self.environment} without this command. "
            f"`tidegate logs -f -e {self.environment} {self.task}` follows it, `tidegate status {self.environment}` "
            "shows how it ended."
        )
