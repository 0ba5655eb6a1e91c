"""Undo, recovery and repair: one function. What the store holds is wanted; what is there is observed; plan, apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tidegate.execution.progress import Reporter
from tidegate.execution.run import Runner
from tidegate.model.component import Release
from tidegate.model.pins import Pins
from tidegate.model.plan import Phase, Plan, PlannedStep
from tidegate.model.step import Start, Step
from tidegate.planning import Policy, make_plan
from tidegate.ports.store import Claim, EnvironmentRecord, Store
from tidegate.ports.target import Target


async def settle(
    store: Store, target: Target, claim: Claim, releases: Mapping[str, Release], runner: Runner
) -> list[PlannedStep]:
    """Bring the claimed components to what the head revision says; returns the steps that were taken.

    Before a commit that undoes a change; after it, that finishes one. Raises what a step raises.
    """
    record = await store.environment(claim.environment)
    pins = await head_pins(store, record)
    known = {**releases, **await releases_of(store, pins)}
    observed = await target.observe(claim.environment)

    def plan(number: int) -> Plan:
        return make_plan(
            environment=claim.environment,
            parent=record.head,
            number=number,
            current=pins,
            wanted=pins,
            observed=observed,
            releases=known,
            policy=Policy(),
            scope=frozenset(claim.components),
        )

    undo = plan(0)
    if any(_is_born(planned.step, 0) for change in undo.changes for planned in change.steps):
        undo = plan(await store.reserve(claim))
    taken: list[PlannedStep] = []
    for change in undo.changes:
        for phase in Phase:
            await runner.run(change.steps, phase)
        taken += change.steps
    return taken


def _is_born(step: Step, number: int) -> bool:
    return isinstance(step, Start) and step.group.born == number


async def recover(
    store: Store,
    target: Target,
    environment: str,
    *,
    holder: str,
    lease: float,
    actor: str,
    report: Reporter,
    vanished: Callable[[str], bool] = lambda _: False,
) -> list[Claim]:
    """Take over every claim of an environment whose executor vanished, and settle its components.

    Before the commit that means back to the parent, after it, on to the end. Returns the claims that were
    settled. `vanished` tells of a holder whether it is known to be gone; others keep their claim until the lease
    runs out. Raises `ClaimRefused` for such a claim.
    """
    record = await store.environment(environment)
    settled = []
    for stale in record.claims:
        claim = await store.take_over(stale, holder=holder, lease=lease, vanished=vanished(stale.holder))
        plan = await store.plan(claim.plan)
        change = next(change for change in plan.changes if change.number == claim.number)
        runner = Runner(store, target, plan=plan, change=change, claim=claim, actor=actor, report=report)
        await runner.journal("recovering")
        await settle(store, target, claim, {}, runner)
        await runner.journal("recovered")
        await store.release_claim(claim)
        settled.append(claim)
    return settled


async def head_pins(store: Store, record: EnvironmentRecord) -> Pins:
    """The pins of the head revision; none for an environment that has no revision."""
    return (await store.revision(record.name, record.head)).pins if record.head else {}


async def releases_of(store: Store, pins: Pins) -> dict[str, Release]:
    """All releases that some pins name. Raises `NotInStore`."""
    return {pin.release: await store.release(pin.release) for pin in pins.values()}
