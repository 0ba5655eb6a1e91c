"""Runs the steps of one change on the target, each journalled before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.errors import TidegateError
from tidegate.execution.progress import Moment, Progress, Reporter, Stage
from tidegate.execution.schedule import in_order
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.ports.store import Claim, Event, Store
from tidegate.ports.target import Epoch, Outcome, Target


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

    def stage(self, stage: Stage) -> None:
        """Tell where the change is."""
        self._stage = stage
        self._tell(Moment.STAGE)

    async def run(self, steps: Sequence[PlannedStep], phase: Phase) -> None:
        """Run those of one phase. Raises the first failure, after the others were cancelled."""
        await in_order([planned for planned in steps if planned.phase is phase], self._run_step)

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
        epoch = Epoch(self.claim.environment, self.claim.epoch, self.claim.components)
        await self.journal("step-begun", step=planned.id)
        self._tell(Moment.BEGUN, planned)
        try:
            outcome = await self._target.run(planned.step, epoch)
        except TidegateError as error:
            await self.journal("step-failed", step=planned.id, body={"because": str(error)})
            self._tell(Moment.FAILED, planned, error=error)
            raise
        await self.journal("step-done", step=planned.id)
        self._tell(Moment.DONE, planned, outcome=outcome)

    def _tell(
        self,
        moment: Moment,
        step: PlannedStep | None = None,
        outcome: Outcome | None = None,
        error: TidegateError | None = None,
    ) -> None:
        self._report(Progress(self.claim.environment, self._change, self._stage, moment, step, outcome, error))
