"""Runs the steps of one change on the target, each journalled before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from tidegate.errors import TidegateError
from tidegate.execution.claim import epoch_of
from tidegate.execution.progress import Moment, Progress, Reporter, Stage
from tidegate.execution.schedule import in_order
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.model.step import Provide, Replace, Route, Step
from tidegate.ports.store import Claim, Event, Store
from tidegate.ports.target import Outcome, Target


class Runner:
    """One change under one claim."""

    def __init__(
        self, store: Store, target: Target, *, plan: Plan, change: Change, claim: Claim, actor: str, report: Reporter
    ) -> None:
        self.claim = claim
        self._store = store
        self._target = target
        self._plan = plan
        self._change = change
        self._actor = actor
        self._report = report
        self._stage = Stage.CLAIMED
        self._acting = plan.digest
        self._stopped: dict[str, float] = {}  # since when nobody serves as a component or resource

    def stage(self, stage: Stage) -> None:
        """Tell where the change is."""
        self._stage = stage
        self._tell(Moment.STAGE)

    def act_by(self, plan: Plan) -> None:
        """From now on the steps are those of another plan (undo, resumption); the journal names it."""
        self._acting = plan.digest

    async def run(self, steps: Sequence[PlannedStep], phase: Phase, wave: int) -> None:
        """Run those of one phase of one wave. Raises the first failure, after the others were cancelled."""
        chosen = [planned for planned in steps if planned.phase is phase and planned.wave == wave]
        await in_order(chosen, self._run_step)

    async def until_commit(self, change: Change) -> None:
        """Everything that comes before the commit of a change."""
        last = change.waves - 1
        for wave in range(change.waves):
            self.stage(Stage.PREPARING)
            await self.run(change.steps, Phase.PREPARE, wave)
            self.stage(Stage.SWITCHING)
            await self.run(change.steps, Phase.SWITCH, wave)
            if wave < last:
                self.stage(Stage.FINISHING)
                await self.run(change.steps, Phase.FINISH, wave)

    async def after_commit(self, change: Change) -> None:
        """Everything that comes after it."""
        self.stage(Stage.FINISHING)
        await self.run(change.steps, Phase.FINISH, change.waves - 1)

    async def journal(
        self, kind: str, *, step: str = "", subject: str = "", body: Mapping[str, Any] | None = None
    ) -> None:
        """Append an event of this change."""
        await self._store.append(
            Event(
                environment=self.claim.environment,
                kind=kind,
                actor=self._actor,
                plan=self._plan.digest,
                step=step,
                epoch=self.claim.epoch,
                subject=subject or ",".join(self._change.components),
                body=body or {},
            )
        )

    async def _run_step(self, planned: PlannedStep) -> None:
        epoch = epoch_of(self.claim)
        acting = {} if self._acting == self._plan.digest else {"plan": self._acting}
        await self.journal("step-begun", step=planned.id, body=acting)
        self._tell(Moment.BEGUN, planned)
        if not acting and (name := _stops(planned.step)) in self._change.interrupts:
            self._stopped.setdefault(name, anyio.current_time())
        try:
            outcome = await self._target.run(planned.step, epoch)
        except TidegateError as error:
            await self.journal("step-failed", step=planned.id, body={**acting, "because": str(error)})
            self._tell(Moment.FAILED, planned, error=error)
            raise
        await self.journal("step-done", step=planned.id, body=acting)
        for name in () if acting else self._served_again(planned.step):
            lasted = round(anyio.current_time() - self._stopped.pop(name), 3)
            await self.journal("interrupted", subject=name, body={"seconds": lasted})
        self._tell(Moment.DONE, planned, outcome=outcome)

    def _served_again(self, step: Step) -> list[str]:
        """Who, of those that were stopped, answers from this step on. What has an entry does when it is switched."""
        if isinstance(step, Route):
            return [move.component for move in step.entries if move.component in self._stopped]
        name = _stops(step)
        routes = (planned.step for planned in self._change.steps if isinstance(planned.step, Route))
        later = {move.component for route in routes for move in route.entries if move.to is not None}
        return [name] if name in self._stopped and name not in later else []

    def _tell(
        self,
        moment: Moment,
        step: PlannedStep | None = None,
        outcome: Outcome | None = None,
        error: TidegateError | None = None,
    ) -> None:
        self._report(Progress(self.claim.environment, self._change, self._stage, moment, step, outcome, error))


def _stops(step: Step) -> str:
    """The component or resource whose old instances a step stops before it starts new ones; "" for other steps."""
    if isinstance(step, Replace):
        return step.group.component if step.stops else ""
    return step.resource if isinstance(step, Provide) else ""
