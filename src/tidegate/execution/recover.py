"""After an executor vanished, or could neither go on nor back: recover, resume, undo, abandon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import anyio

from tidegate.errors import ClaimLost, ClaimRefused, OldEpoch, StoreError, TidegateError, UsageError
from tidegate.execution.claim import LEASE, Lease, epoch_of
from tidegate.execution.progress import Reporter
from tidegate.execution.run import Runner
from tidegate.execution.settle import (
    Place,
    attending,
    head_pins,
    is_committed,
    known_releases,
    look,
    migrations,
    settle,
)
from tidegate.model.component import Kind
from tidegate.model.observed import Observed, RunState
from tidegate.model.pins import Pin, Pins
from tidegate.model.plan import Change, PinChange
from tidegate.model.step import Assume
from tidegate.planning import Policy, make_plan, wanted_by_changes
from tidegate.ports.store import Claim

PATIENCE = 60.0  # seconds to wait for somebody else who recovers
LOOK = 0.1

Answers = Mapping[str, bool]
"""Component -> whether the run that nobody saw end did all it should."""


class Recovery:
    """Takes over claims and settles them. `holder` names this process, `by` the person; `vanished` tells of a holder
    whether it is known to be gone."""

    def __init__(
        self, place: Place, *, holder: str, by: str, report: Reporter, vanished: Callable[[str], bool]
    ) -> None:
        self._place = place
        self._store = place.store
        self._target = place.target
        self._holder = holder
        self._by = by
        self._report = report
        self._vanished = vanished

    async def recover(self, environment: str, *, by_hand: bool) -> list[Claim]:
        """Settle every change whose executor vanished: back to the parent before its commit, on to the end after it.

        By hand also those that are unsettled, and one whose executor lives is refused with `ClaimRefused`; otherwise
        both are left alone. Somebody else who recovers is waited for. A change that cannot be settled becomes
        unsettled, and what prevented it is raised.
        """
        settled = []
        for stale in (await self._store.environment(environment)).claims:
            if stale.unsettled and not by_hand:
                continue
            if stale.recovering and not stale.unsettled and not self._vanished(stale.holder):
                await self._other_recovers(stale)
            try:
                claim, change, runner = await self._take_over(stale)
            except ClaimRefused:
                if by_hand and any(self._same(stale, held) for held in await self._claims(environment)):
                    raise
                continue
            async with attending(self._target, environment), Lease(self._store, claim):
                await runner.journal("recovering")
                await self._attempt(claim, runner, settle(self._place, claim, change, {}, runner))
                await runner.journal("recovered")
                await self._store.release_claim(claim)
            settled.append(claim)
        return settled

    async def resume(self, environment: str, answers: Answers, only: Sequence[str] = ()) -> list[Claim]:
        """Go forward: bring the components of each change that hangs to what it wanted, and commit it."""
        return await self._each(environment, only, answers, "resuming", self._go_on)

    async def undo(self, environment: str, answers: Answers, only: Sequence[str] = ()) -> list[Claim]:
        """Go back, or, for a change that is committed, on to its end."""

        async def back(claim: Claim, change: Change, runner: Runner) -> None:
            await settle(self._place, claim, change, {}, runner)

        return await self._each(environment, only, answers, "undoing", back)

    async def abandon(self, environment: str, because: str, only: Sequence[str] = ()) -> list[Claim]:
        """Give up: what is observed of each change that hangs becomes a new revision, whatever it is."""

        async def record(claim: Claim, change: Change, runner: Runner) -> None:
            observed = await look(self._place, environment)
            await self._assume(claim, change, observed, dict.fromkeys(claim.components, RunState.ABANDONED))
            head = await head_pins(self._store, await self._store.environment(environment))
            known = await known_releases(self._store, head, change, {})
            kinds = {release.component: release.kind for release in known.values()}
            pins = {entry.component: _as_observed(entry, kinds, head, observed) for entry in change.pins}
            number = await self._store.reserve(claim) if await is_committed(self._store, claim) else None
            await self._store.commit(claim, pins, by=self._by, why=because, number=number)
            await runner.journal("abandoned", body={"because": because})

        return await self._each(environment, only, {}, "abandoning", record)

    async def _each(
        self,
        environment: str,
        only: Sequence[str],
        answers: Answers,
        kind: str,
        act: Callable[[Claim, Change, Runner], Awaitable[None]],
    ) -> list[Claim]:
        claims = await self._claims(environment)
        hanging = [claim for claim in claims if not only or set(only).intersection(claim.components)]
        if not hanging:
            what = f"a change of {', '.join(only)}" if only else "a change"
            raise UsageError(
                f"cannot find {what} that hangs in {environment}",
                f"In the middle is {_names(claims)}." if claims else "Nothing there was left in the middle.",
                hint=f"`tidegate status {environment}` shows how things stand.",
            )
        if strange := sorted(answers.keys() - {name for claim in hanging for name in claim.components}):
            raise UsageError(
                f"cannot take an answer for {', '.join(strange)}",
                f"Nothing of it was left in the middle; what was is {_names(hanging)}.",
            )
        states = {name: RunState.DONE if ran else None for name, ran in answers.items()}

        async def answered(claim: Claim, change: Change, runner: Runner) -> None:
            if states:
                await self._assume(claim, change, await look(self._place, environment), states)
            await act(claim, change, runner)

        done = []
        for stale in hanging:
            claim, change, runner = await self._take_over(stale)
            async with attending(self._target, environment), Lease(self._store, claim):
                await runner.journal(kind, body={"answers": dict(answers)} if answers else {})
                await self._attempt(claim, runner, answered(claim, change, runner))
                await runner.journal("settled")
                await self._store.release_claim(claim)
            done.append(claim)
        return done

    async def _go_on(self, claim: Claim, change: Change, runner: Runner) -> None:
        if not change.repins or await is_committed(self._store, claim):
            await settle(self._place, claim, change, {}, runner)
            return
        record = await self._store.environment(claim.environment)
        head = await head_pins(self._store, record)
        plan = make_plan(
            environment=claim.environment,
            parent=record.head,
            number=claim.number,
            current=head,
            wanted=wanted_by_changes(head, [change]),
            observed=await look(self._place, claim.environment),
            releases=await known_releases(self._store, head, change, {}),
            policy=Policy(max_extra=self._place.limit, firm=False),
            scope=frozenset(claim.components),
            as_one=True,
        )
        await self._store.put_plan(plan)
        runner.act_by(plan)
        for found in plan.changes:
            await runner.until_commit(found)
        claimed = await self._store.events(environment=claim.environment, plan=claim.plan, kind="claimed", limit=1)
        new = {entry.component: entry.new for entry in change.pins}
        await self._store.commit(claim, new, by=self._by, why=claimed[0].body.get("why", "") if claimed else "")
        for found in plan.changes:
            await runner.after_commit(found)

    async def _attempt(self, claim: Claim, runner: Runner, work: Awaitable[object]) -> None:
        try:
            await work
        except (ClaimLost, OldEpoch):
            raise
        except TidegateError as error:
            await unsettle(self._place, claim, runner, error)
            raise

    async def _assume(
        self, claim: Claim, change: Change, observed: Observed, states: Mapping[str, RunState | None]
    ) -> None:
        """Tell the target what became of the migrations of a change that did not end well; those of other releases,
        which failed some other time, were not meant."""
        epoch = epoch_of(claim)
        meant = migrations(claim.environment, change)
        for run in observed.runs.values():
            open_ = run.state in {RunState.INTERRUPTED, RunState.FAILED}
            if open_ and run.address in meant and run.address.component in states:
                await self._target.run(Assume(run.address, states[run.address.component]), epoch)

    async def _take_over(self, stale: Claim) -> tuple[Claim, Change, Runner]:
        claim = await self._store.take_over(
            stale, holder=self._holder, lease=LEASE, vanished=self._vanished(stale.holder)
        )
        plan = await self._store.plan(claim.plan)
        change = next(change for change in plan.changes if change.number == claim.number)
        runner = Runner(
            self._store, self._target, plan=plan, change=change, claim=claim, actor=self._by, report=self._report
        )
        return claim, change, runner

    async def _other_recovers(self, stale: Claim) -> None:
        """Wait until somebody else has settled this claim. Raises `ClaimRefused` when that takes too long."""
        with anyio.move_on_after(PATIENCE):
            while any(self._same(stale, held) for held in await self._claims(stale.environment)):
                if self._vanished(stale.holder):
                    return
                await anyio.sleep(LOOK)
            return
        raise ClaimRefused(
            f"cannot wait any longer for {stale.environment}",
            f"{', '.join(stale.components)} is being recovered by {stale.holder}.",
            hint=f"`tidegate status {stale.environment}` shows how far it is.",
        )

    async def _claims(self, environment: str) -> Sequence[Claim]:
        return (await self._store.environment(environment)).claims

    @staticmethod
    def _same(one: Claim, other: Claim) -> bool:
        return one.epoch == other.epoch and not other.unsettled


async def unsettle(place: Place, claim: Claim, runner: Runner, error: TidegateError, because: str = "") -> None:
    """Let the store say that this change could neither be finished nor be undone.

    A store that cannot be written is no reason to give up: then the claim expires, and the next command tries again.
    """
    with suppress(StoreError):
        await runner.journal("unsettled", body={"because": because, "undo": str(error)})
        if not isinstance(error, StoreError):
            await place.store.unsettle(claim, str(error))


def _names(claims: Sequence[Claim]) -> str:
    return ", ".join(sorted(name for claim in claims for name in claim.components))


def _as_observed(entry: PinChange, kinds: Mapping[str, Kind], head: Pins, observed: Observed) -> Pin | None:
    """Which of the pins that a component might have is the one that answers; None if none of them does."""
    if kinds.get(entry.component) is Kind.TASK:
        return head.get(entry.component)
    serving = observed.entries.get(entry.component)
    groups = [group for group in observed.groups.values() if group.address.component == entry.component]
    groups.sort(key=lambda group: (group.address == serving, group.healthy, group.address.born), reverse=True)
    for pin in (head.get(entry.component), entry.old, entry.new):
        if pin is not None and groups and groups[0].identity == pin.identity:
            return pin
    return None
