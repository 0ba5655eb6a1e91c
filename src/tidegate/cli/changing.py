"""What `up`, `apply` and `down` have in common: recover, plan, show, ask, apply, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

import anyio
from rich.text import Text

from tidegate.app.beside import split, unsettled_claims
from tidegate.app.change import apply, executor, forget_if_empty
from tidegate.app.explain import PlanView, explain, past_of
from tidegate.app.inspect import EnvironmentStatus
from tidegate.app.kept import data_kept, data_of
from tidegate.app.planned import Planned
from tidegate.app.settling import recover_environment
from tidegate.app.workspace import Workspace
from tidegate.cli.interruption import Interruption
from tidegate.cli.session import confirm, refuse_without_terminal
from tidegate.cli.settling import look
from tidegate.cli.views.console import err, interactive, out
from tidegate.cli.views.errors import show_error
from tidegate.cli.views.outcome import Failure, show_failure, show_unfinished
from tidegate.cli.views.plan import show_plan
from tidegate.cli.views.progress import ProgressView
from tidegate.cli.views.tables import environment_lines
from tidegate.errors import TidegateError
from tidegate.execution import Applied, ChangeResult, Executor, Fate
from tidegate.model.pins import revision_name
from tidegate.model.step import Provide, Replace, Revert, Run

Planning = Callable[[ProgressView, str], Awaitable[Planned]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a change is carried out. `what` names it in the question: "apply", "bring dev down".

    `always_ask` asks for every change, not only where something goes away; `full` shows every step; with `forget`
    the target gives back what it keeps for an environment that was emptied, with `data` also what outlives that.
    `beside`: where a change that is unsettled stands in the way of some changes, the others go on.
    """

    what: str
    yes: bool = False
    json: bool = False
    dry_run: bool = False
    full: bool = False
    always_ask: bool = False
    forget: bool = False
    data: bool = False
    beside: bool = False
    why: str = ""


@dataclass
class Course:
    """What happens to one environment in the course of a command. `data` are components and resources whose data stay
    or, as soon as `destroyed` says so, are gone."""

    environment: str
    planned: Planned
    view: PlanView
    made_on: int
    recovered: tuple[str, ...] = ()
    applied: Applied | None = None
    error: TidegateError | None = None
    status: EnvironmentStatus | None = None
    data: tuple[str, ...] = ()
    destroyed: bool = False

    @property
    def carried_over(self) -> tuple[str, str] | None:
        """The revisions that the plan was made for and that it was applied to, where others committed between them."""
        changes = self.applied.changes if self.applied else ()
        parents = {result.revision.number: result.revision.parent for result in changes if result.revision}
        of_others = [parent for parent in parents.values() if parent not in {self.made_on, *parents}]
        number = of_others[-1] if of_others else self.planned.plan.parent
        if number == self.made_on:
            return None
        return revision_name(self.environment, self.made_on), revision_name(self.environment, number)

    @property
    def succeeded(self) -> bool:
        """Whether the environment is as it was asked to be, with nothing left to finish."""
        results = self.applied.changes if self.applied else ()
        done = all(result.fate is Fate.COMMITTED and result.unfinished is None for result in results)
        return self.error is None and done


@dataclass
class Changing:
    """One command that changes environments, side by side.

    `made_on`: the revision for which a plan was made that was saved. `held_up` takes, from planning, why an environment
    cannot be brought to all that was asked for. `only`: the components that were asked for; () for all.
    """

    workspace: Workspace
    manner: Manner
    made_on: int | None = None
    only: tuple[str, ...] = ()
    held_up: dict[str, TidegateError] = field(default_factory=dict)
    progress: ProgressView = field(default_factory=lambda: ProgressView(err()))

    async def run(self, environments: Sequence[str], plan: Planning) -> list[Course]:
        """Everything from recovery to the result on the screen (not with `json`).

        Raises what planning and recovery raise, and `UsageError` where nobody can be asked.
        """
        begun = time.monotonic()
        courses = await self._prepare(environments, plan)
        busy = [course for course in courses if course.view.changes]
        if not self.manner.json:
            for course in courses:
                if course in busy:
                    show_plan(err(), course.view, full=self.manner.full, destroys=self.manner.data)
                self._show_data(course)
        asked = False
        if not self.manner.dry_run:
            self._ask(courses if self.manner.data else busy)
            asked = bool(busy) and await self._apply(busy)
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
                    made_on = planned.plan.parent if self.made_on is None else self.made_on
                    course = Course(environment, planned, view, made_on, recovered)
                    course.error = self.held_up.get(environment) or await self._hanging(environment, view)
                    if self.manner.data:
                        course.data = await data_kept(self.workspace, planned)
                    elif self.manner.forget:
                        course.data = data_of(planned)
                    courses.append(course)
            if interruption.asked:
                raise TidegateError("cannot go on: stopped", "Nothing was changed.")
        return courses

    async def _hanging(self, environment: str, view: PlanView) -> TidegateError | None:
        """Why there is nothing to do where something ought to be done: an unsettled change holds it."""
        claims = () if view.changes else await unsettled_claims(self.workspace, environment)
        held = sorted({name for claim in claims for name in claim.components})
        if not held or (self.only and not set(held).intersection(self.only)):
            return None
        names = ", ".join(held)
        return TidegateError(
            f"cannot change {names} in {environment}",
            "A change of them could be neither finished nor undone.",
            hint=f"`tidegate status {environment}` shows each step and the ways out.",
            address=environment,
        )

    async def _recover(self, environment: str) -> tuple[str, ...]:
        recovered = tuple(await recover_environment(self.workspace, environment, self.progress.step))
        if recovered:
            self.progress.say(in_order(environment, recovered))
        return recovered

    def _show_data(self, course: Course) -> None:
        names = ", ".join(course.data)
        if self.manner.data:
            what = f"the data of {names}, and what" if names else "what"
            text = f"  Will be destroyed for ever in {course.environment}: {what} is known of migrations and tasks."
            err().print(Text(text, style="bold red"), soft_wrap=True)
        elif names and course.view.changes:
            again = f"tidegate down {course.environment} --data"
            err().print(f"  Data stay: {names} (`{again}` destroys them).", soft_wrap=True)

    def _ask(self, asking: Sequence[Course]) -> None:
        leaving = [line for course in asking for change in course.view.changes for line in change.components]
        always = self.manner.always_ask and asking
        if self.manner.yes or not (always or any(line.action == "goes" for line in leaving)):
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
                    await self._apply_one(course, own)
                except* TidegateError as errors:
                    course.error = first(errors)

            async with anyio.create_task_group() as group:
                for course in busy:
                    group.start_soon(one, course)
            return interruption.asked

    async def _apply_one(self, course: Course, own: Executor) -> None:
        free, barred = course.planned, None
        if self.manner.beside:
            free, barred = await split(self.workspace, course.planned)
        if not free.plan.empty:
            course.applied = await apply(self.workspace, own, free, why=self.manner.why)
        if barred and not barred.plan.empty:  # refused, with all that there is to say, unless somebody settled it
            late = await apply(self.workspace, own, barred, why=self.manner.why)
            before = course.applied.changes if course.applied else ()
            course.applied = Applied(late.plan, (*before, *late.changes))

    async def _conclude(self, courses: Sequence[Course]) -> None:
        for course in courses:
            if course.error and course.applied is None:
                continue
            if self.manner.forget and (course.applied is None or course.applied.succeeded):
                applied = course.applied or Applied(course.planned.plan, ())
                forgotten = await forget_if_empty(self.workspace, course.planned, applied, data=self.manner.data)
                course.destroyed = forgotten and self.manner.data
            course.status = await look(self.workspace, course.environment)

    def _show(self, courses: Sequence[Course], *, stopped: bool) -> None:
        for course in courses:
            if not course.view.changes and not course.error and not course.destroyed:
                out().print(f"{course.environment}: nothing to do.", soft_wrap=True)
            if carried := course.carried_over:
                before, now = (revision or "nothing" for revision in carried)
                err().print(f"{course.environment}: carried over from {before} to {now}.", soft_wrap=True)
            for result in course.applied.changes if course.applied else ():
                if result.fate is not Fate.COMMITTED:
                    show_failure(err(), self._failure(course, result, stopped=stopped))
                elif result.unfinished:
                    show_unfinished(err(), course.environment, result)
            if course.error:
                show_error(err(), course.error)
            if self.manner.data:
                err().print(_fate_of_data(course), soft_wrap=True)
            if course.status and self._worth_a_table(course):
                for line in environment_lines(course.status, brief=True):
                    out().print(line, soft_wrap=True)

    def _worth_a_table(self, course: Course) -> bool:
        results = course.applied.changes if course.applied else ()
        return not results or any(result.fate is Fate.COMMITTED for result in results)

    def _failure(self, course: Course, result: ChangeResult, *, stopped: bool) -> Failure:
        assert course.applied is not None
        change = course.environment, result.change.number
        switches = self.progress.switches.get(change)
        taken = self.progress.taken.get(change, {})
        begun = {id_ for back, id_ in taken if not back}
        return Failure(
            course.environment,
            revision_name(course.environment, course.applied.plan.parent),
            result,
            switches.seconds if switches else None,
            stopped=stopped,
            taken=tuple(taken.values()),
            left=_left(result, begun),
            interrupted=tuple(sorted(_unserved(result, begun))),
            status=course.status,
        )


def _left(result: ChangeResult, begun: Collection[str]) -> tuple[str, ...]:
    """The migrations of a change that was put back which began and were not taken back."""
    back = {planned.step.run for planned in result.put_back if isinstance(planned.step, Revert)}
    return tuple(
        planned.step.run.name
        for planned in result.change.steps
        if isinstance(planned.step, Run) and planned.id in begun and planned.step.run not in back
    )


def _unserved(result: ChangeResult, begun: Collection[str]) -> set[str]:
    """The components and resources of a change that stopped for it."""
    steps = [planned.step for planned in result.change.steps if planned.id in begun]
    replaced = {step.group.component for step in steps if isinstance(step, Replace) and step.stops}
    provided = {step.resource for step in steps if isinstance(step, Provide)}
    return replaced | provided.intersection(result.change.interrupts)


def _fate_of_data(course: Course) -> Text:
    if course.destroyed:
        return Text(f"{course.environment}: its data are destroyed.")
    return Text(f"{course.environment}: its data were not destroyed, for not all of it is gone.", style="bold red")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def in_order(environment: str, components: Sequence[str]) -> str:
    """What is said of components that a vanished command had left."""
    return f"{environment}: {', '.join(components)} put in order; a command had vanished in the middle."


def first(errors: BaseExceptionGroup[TidegateError]) -> TidegateError:
    """The first error of a group, however deep it lies."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, TidegateError)
    return error
