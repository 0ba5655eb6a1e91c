"""Apply one plan: every change by itself, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from tidegate.errors import ClaimLost, OldEpoch, StalePlan, StepFailed, TidegateError
from tidegate.execution.claim import LEASE, Lease
from tidegate.execution.progress import Applied, ChangeResult, Fate, Reporter, Stage
from tidegate.execution.recover import unsettle
from tidegate.execution.run import Runner
from tidegate.execution.settle import Place, attending, settle
from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.pins import Revision
from tidegate.model.plan import Change, Plan
from tidegate.model.step import Observe, Replace, Route, Start
from tidegate.planning import Limit
from tidegate.ports.store import Claim, Store
from tidegate.ports.target import Target


class Executor:
    """Applies plans to one target. `holder` names this process, `by` the person, for the journal and the claims;
    `limit` is how much may run beside what runs already while a change is put back."""

    def __init__(
        self, store: Store, target: Target, *, holder: str, by: str, reporter: Reporter, limit: Limit | None = None
    ) -> None:
        self._place = Place(store, target, limit or Limit())
        self._store = store
        self._target = target
        self._holder = holder
        self._by = by
        self._report = reporter
        self._stopped = False
        self._forward: set[anyio.CancelScope] = set()

    def stop(self) -> None:
        """Stop going forward: every change that is not committed is put back. Returns at once."""
        self._stopped = True
        for scope in self._forward:
            scope.cancel()

    async def apply(self, plan: Plan, releases: Mapping[str, Release], *, why: str = "") -> Applied:
        """Carry out a plan. `releases` as for `make_plan`; they are needed if a change has to be put back.

        Raises `StalePlan` or `ClaimRefused` before anything was changed. A change that fails is no exception:
        its result says why, and what was put back.
        """
        await self._store.put_plan(plan)
        async with attending(self._target, plan.environment):
            claims = await self._store.claim(plan, holder=self._holder, lease=LEASE, place=self._target.place)
            await self._check_still_there(plan, claims)
            results: dict[int, ChangeResult] = {}
            course = Course(plan, releases, why, Turns(plan.changes))

            async def one(change: Change, claim: Claim) -> None:
                try:
                    results[change.number] = await self._apply_change(course, change, claim)
                finally:
                    course.turns.ended(change)

            async with anyio.create_task_group() as group:
                for change, claim in zip(plan.changes, claims, strict=True):
                    group.start_soon(one, change, claim)
        return Applied(plan, tuple(results[change.number] for change in plan.changes))

    async def _check_still_there(self, plan: Plan, claims: Sequence[Claim]) -> None:
        """What was seen when the plan was made may have been on its way out: somebody else was finishing a change, or
        undoing one. Raises `StalePlan` if a group that the plan counts on is gone; the claims are given back."""
        counted_on = {group for change in plan.changes for group in _counted_on(change)}
        if not counted_on:
            return
        try:
            gone = counted_on.difference((await self._target.observe(plan.environment)).groups)
            if gone:
                raise StalePlan(
                    "cannot apply a stale plan",
                    f"Somebody else removed {', '.join(sorted(group.name for group in gone))} after it was made.",
                    hint=f"Plan again: tidegate plan {plan.environment}",
                    address=plan.environment,
                )
        except TidegateError:
            for claim in claims:
                await self._store.release_claim(claim)
            raise

    async def _apply_change(self, course: Course, change: Change, claim: Claim) -> ChangeResult:
        runner = Runner(
            self._store, self._target, plan=course.plan, change=change, claim=claim, actor=self._by, report=self._report
        )
        async with Lease(self._store, claim) as lease:
            try:
                runner.stage(Stage.CLAIMED)
                failure, revision = await self._go_forward(runner, change, lease, course)
                if failure is not None:
                    return await self._go_back(runner, change, claim, course.releases, failure)
                unfinished = await self._finish(runner, change)
            except (ClaimLost, OldEpoch) as error:
                return ChangeResult(change, Fate.UNSETTLED, failure=error)
            runner.stage(Stage.DONE)
            return ChangeResult(change, Fate.COMMITTED, revision, unfinished=unfinished)

    async def _go_forward(
        self, runner: Runner, change: Change, lease: Lease, course: Course
    ) -> tuple[TidegateError | None, Revision | None]:
        """Prepare, switch and commit; the failure, or the revision (None when no pin differed)."""
        with anyio.CancelScope() as scope:
            self._forward.add(scope)
            if self._stopped:
                scope.cancel()
            try:
                await course.turns.wait(change)
                await runner.journal("claimed", body={"why": course.why} if course.why else {})
                await runner.until_commit(change)
                lease.check()
                with anyio.CancelScope(shield=True):
                    revision = await self._commit(runner, change, course.why)
            except (ClaimLost, OldEpoch):
                raise
            except TidegateError as failure:
                return failure, None
            finally:
                self._forward.discard(scope)
            return None, revision
        return StepFailed(
            "cannot go on: stopped", "Somebody stopped this command before the change was committed."
        ), None

    async def _commit(self, runner: Runner, change: Change, why: str) -> Revision | None:
        if not change.repins:
            return None
        pins = {pin.component: pin.new for pin in change.pins}
        revision = await self._store.commit(runner.claim, pins, by=self._by, why=why)
        runner.stage(Stage.COMMITTED)
        return revision

    async def _go_back(
        self, runner: Runner, change: Change, claim: Claim, releases: Mapping[str, Release], failure: TidegateError
    ) -> ChangeResult:
        """Undo: plan again with wanted = the parent and observed = now, and apply that."""
        runner.stage(Stage.UNDOING)
        try:
            with anyio.CancelScope(shield=True):
                await runner.journal("undoing", body={"because": str(failure)})
                put_back = await settle(self._place, claim, change, releases, runner)
                await runner.journal("undone", body={"because": str(failure)})
                await self._store.release_claim(claim)
        except TidegateError as error:
            await unsettle(self._place, claim, runner, error, because=str(failure))
            return ChangeResult(change, Fate.UNSETTLED, failure=failure, unfinished=error)
        runner.stage(Stage.DONE)
        return ChangeResult(change, Fate.UNDONE, failure=failure, put_back=tuple(put_back))

    async def _finish(self, runner: Runner, change: Change) -> TidegateError | None:
        """Remove what nothing pins. A failure here is reported, not undone: the claim stays for the next command."""
        try:
            await runner.after_commit(change)
            await runner.journal("finished")
            await self._store.release_claim(runner.claim)
        except (ClaimLost, OldEpoch):
            raise
        except TidegateError as error:
            return error
        return None


def _counted_on(change: Change) -> set[GroupAddress]:
    """The groups that a change leads to or watches without starting them."""
    used: set[GroupAddress | None] = set()
    started: set[GroupAddress] = set()
    for planned in change.steps:
        match planned.step:
            case Start() | Replace() as step:
                started.add(step.group)
                used.update(to for _, to in step.edges)
            case Route() as step:
                used.update(entry.to for entry in step.entries)
                used.update(move.to for move in step.edges)
                used.update(move.edge.group for move in step.edges)
            case Observe() as step:
                used.update(step.groups)
            case _:
                pass
    return {group for group in used if group is not None} - started


@dataclass(frozen=True, slots=True)
class Course:
    """One plan that is being carried out."""

    plan: Plan
    releases: Mapping[str, Release]
    why: str
    turns: Turns


class Turns:
    """Lets changes begin one group after the other, where not all of them have room at once."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._open = {change.number: change.turn for change in changes}
        self._waiting = {change.turn: anyio.Event() for change in changes}
        self._let()

    async def wait(self, change: Change) -> None:
        """Return when all changes with a lower turn ended."""
        await self._waiting[change.turn].wait()

    def ended(self, change: Change) -> None:
        """Say that a change ended, however."""
        self._open.pop(change.number, None)
        self._let()

    def _let(self) -> None:
        lowest = min(self._open.values(), default=None)
        for turn, event in self._waiting.items():
            if lowest is not None and turn <= lowest:
                event.set()
