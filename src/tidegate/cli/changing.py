"""What `up`, `apply` and `down` have in common: recover, plan, show, ask, apply, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from tidegate.app.change import apply, executor, forget_if_empty
from tidegate.app.explain import PlanView, explain, past_of
from tidegate.app.inspect import EnvironmentStatus, status
from tidegate.app.planned import Planned
from tidegate.app.settling import recover_environment
from tidegate.app.workspace import Workspace
from tidegate.cli.session import Interruption, confirm, refuse_without_terminal
from tidegate.cli.views.console import err, interactive, out
from tidegate.cli.views.errors import show_error
from tidegate.cli.views.outcome import Failure, show_failure, unfinished_text
from tidegate.cli.views.plan import show_plan
from tidegate.cli.views.progress import ProgressView
from tidegate.cli.views.tables import environment_lines
from tidegate.errors import TidegateError
from tidegate.execution import Applied, Fate

Planning = Callable[[ProgressView, str], Awaitable[Planned]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a change is carried out. `what` names it in the question: "apply", "bring dev down".

    `always_ask` asks for every change, not only where something goes away; `full` shows every step; with `forget`
    the target gives back what it keeps for an environment that was emptied.
    """

    what: str
    yes: bool = False
    json: bool = False
    dry_run: bool = False
    full: bool = False
    always_ask: bool = False
    forget: bool = False
    why: str = ""


@dataclass
class Course:
    """What happens to one environment in the course of a command."""

    environment: str
    planned: Planned
    view: PlanView
    recovered: tuple[str, ...] = ()
    applied: Applied | None = None
    error: TidegateError | None = None
    status: EnvironmentStatus | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the environment is as it was asked to be."""
        return self.error is None and (self.applied is None or self.applied.succeeded)


@dataclass
class Changing:
    """One command that changes environments, side by side."""

    workspace: Workspace
    manner: Manner
    progress: ProgressView = field(default_factory=lambda: ProgressView(err()))

    async def run(self, environments: Sequence[str], plan: Planning) -> list[Course]:
        """Everything from recovery to the result on the screen (not with `json`).

        Raises what planning and recovery raise, and `UsageError` where nobody can be asked.
        """
        begun = time.monotonic()
        courses = await self._prepare(environments, plan)
        busy = [course for course in courses if course.view.changes]
        if not self.manner.json:
            for course in busy:
                show_plan(err(), course.view, full=self.manner.full)
        if busy and not self.manner.dry_run:
            self._ask(busy)
            asked = await self._apply(busy)
        else:
            asked = False
        if not self.manner.dry_run:
            await self._conclude(courses)
        if not self.manner.json:
            if any(course.applied for course in courses):
                err().print(f"Took {_duration(time.monotonic() - begun)}.", style="dim", soft_wrap=True)
            self._show(courses, stopped=asked)
        return courses

    async def _prepare(self, environments: Sequence[str], plan: Planning) -> list[Course]:
        courses = []
        with self.progress, Interruption(self.progress.say, self.progress.close, tuple(environments)) as interruption:
            with interruption.scope:
                for environment in environments:
                    recovered = () if self.manner.dry_run else await self._recover(environment)
                    planned = await plan(self.progress, environment)
                    view = explain(planned, await past_of(planned, self.workspace.at(environment).store))
                    courses.append(Course(environment, planned, view, recovered))
            if interruption.asked:
                raise TidegateError("cannot go on: stopped", "Nothing was changed.")
        return courses

    async def _recover(self, environment: str) -> tuple[str, ...]:
        recovered = tuple(await recover_environment(self.workspace, environment, self.progress.step))
        if recovered:
            self.progress.say(
                f"{environment}: {', '.join(recovered)} put in order; a command had vanished in the middle."
            )
        return recovered

    def _ask(self, busy: Sequence[Course]) -> None:
        leaving = [line for course in busy for change in course.view.changes for line in change.components]
        if self.manner.yes or not (self.manner.always_ask or any(line.action == "goes" for line in leaving)):
            return
        if self.manner.json or not interactive():
            raise refuse_without_terminal(self.manner.what)
        if not confirm(f"{self.manner.what[:1].upper()}{self.manner.what[1:]}?"):
            raise TidegateError("cannot go on: not confirmed", "Nothing was changed.")

    async def _apply(self, busy: Sequence[Course]) -> bool:
        names = tuple(course.environment for course in busy)
        with self.progress, Interruption(self.progress.say, self.progress.close, names) as interruption:

            async def one(course: Course) -> None:
                own = executor(self.workspace, course.environment, self.progress.step)
                interruption.executors.append(own)
                try:
                    course.applied = await apply(self.workspace, own, course.planned, why=self.manner.why)
                except* TidegateError as errors:
                    course.error = first(errors)

            async with anyio.create_task_group() as group:
                for course in busy:
                    group.start_soon(one, course)
            return interruption.asked

    async def _conclude(self, courses: Sequence[Course]) -> None:
        for course in courses:
            if course.error:
                continue
            if self.manner.forget and (course.applied is None or course.applied.succeeded):
                await forget_if_empty(
                    self.workspace, course.planned, course.applied or Applied(course.planned.plan, ())
                )
            course.status = (await status(self.workspace, [course.environment]))[0]

    def _show(self, courses: Sequence[Course], *, stopped: bool) -> None:
        for course in courses:
            if not course.view.changes:
                out().print(f"{course.environment}: nothing to do.", soft_wrap=True)
            if course.error:
                show_error(err(), course.error)
            for result in course.applied.changes if course.applied else ():
                if result.fate is not Fate.COMMITTED:
                    show_failure(err(), self._failure(course, result.change.number, stopped=stopped))
                elif result.unfinished:
                    err().print(unfinished_text(course.environment, result), soft_wrap=True)
            if course.status and self._worth_a_table(course):
                for line in environment_lines(course.status):
                    out().print(line, soft_wrap=True)

    def _worth_a_table(self, course: Course) -> bool:
        results = course.applied.changes if course.applied else ()
        return not results or any(result.fate is Fate.COMMITTED for result in results)

    def _failure(self, course: Course, number: int, *, stopped: bool) -> Failure:
        assert course.applied is not None
        result = next(result for result in course.applied.changes if result.change.number == number)
        switches = self.progress.switches.get((course.environment, number))
        taken = self.progress.taken.get((course.environment, number), {})
        return Failure(
            course.environment,
            course.view.parent,
            result,
            switches.seconds if switches else None,
            stopped=stopped,
            taken=tuple(taken.values()),
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def first(errors: BaseExceptionGroup[TidegateError]) -> TidegateError:
    """The first error of a group, however deep it lies."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, TidegateError)
    return error
