"""Undo, recovery and repair: one function. What the store holds is wanted; what is there is observed; plan, apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

from tidegate.errors import NotInStore
from tidegate.execution.claim import epoch_of
from tidegate.execution.run import Runner
from tidegate.model.address import RunAddress
from tidegate.model.component import Release, RunKind
from tidegate.model.observed import Observed, RunState
from tidegate.model.pins import Pins
from tidegate.model.plan import Change, Plan, PlannedStep
from tidegate.model.step import Replace, Run, Start
from tidegate.planning import Limit, Policy, make_plan
from tidegate.ports.store import Claim, EnvironmentRecord, Store
from tidegate.ports.target import Attends, Target


@dataclass(frozen=True, slots=True)
class Place:
    """A store, a target, and how much may run there beside what runs already."""

    store: Store
    target: Target
    limit: Limit


async def settle(
    place: Place, claim: Claim, change: Change, releases: Mapping[str, Release], runner: Runner
) -> list[PlannedStep]:
    """Bring the claimed components to what the head revision says; returns the steps that were taken.

    Before a commit that undoes a change; after it, that finishes one. Raises what planning and a step raise.
    """
    record = await place.store.environment(claim.environment)
    pins = await head_pins(place.store, record)
    committed = await is_committed(place.store, claim)
    known = await known_releases(place.store, pins, change, releases)
    observed = await look(place, claim.environment)
    await _end_tasks(place, claim, change, observed)

    def plan(number: int) -> Plan:
        return make_plan(
            environment=claim.environment,
            parent=record.head,
            number=number,
            current=pins,
            wanted=pins,
            observed=observed,
            releases=known,
            policy=Policy(max_extra=place.limit, firm=False, withdraw=committed),
            scope=frozenset(claim.components),
            as_one=True,
            taken_back=() if committed else _migrated(change),
        )

    undo = plan(0)
    if any(_is_born(planned, 0) for found in undo.changes for planned in found.steps):
        undo = plan(await place.store.reserve(claim))
    if undo.changes:
        await place.store.put_plan(undo)
        runner.act_by(undo)
    taken: list[PlannedStep] = []
    for found in undo.changes:
        await runner.until_commit(found)
        await runner.after_commit(found)
        taken += found.steps
    return taken


async def look(place: Place, environment: str) -> Observed:
    """What is there. Going back is never refused for want of memory, so how much there is does not count."""
    return replace(await place.target.observe(environment), memory_free=0)


async def is_committed(store: Store, claim: Claim) -> bool:
    """Whether the change of a claim made its revision."""
    try:
        return (await store.revision(claim.environment, claim.number)).plan == claim.plan
    except NotInStore:
        return False


async def head_pins(store: Store, record: EnvironmentRecord) -> Pins:
    """The pins of the head revision; none for an environment that has no revision."""
    return (await store.revision(record.name, record.head)).pins if record.head else {}


async def releases_of(store: Store, pins: Pins) -> dict[str, Release]:
    """All releases that some pins name. Raises `NotInStore`."""
    return dict(await store.releases_named({pin.release for pin in pins.values()}))


async def known_releases(
    store: Store, pins: Pins, change: Change, releases: Mapping[str, Release]
) -> dict[str, Release]:
    """The releases of some pins and of a change, as far as they are not among `releases` already."""
    named = {pin.release for pin in pins.values()}
    named |= {pin.release for entry in change.pins for pin in (entry.old, entry.new) if pin is not None}
    return {**releases, **await store.releases_named(named - releases.keys())}


def migrations(environment: str, change: Change) -> set[RunAddress]:
    """The runs before and after of the releases that a change leads from and to."""
    return {
        RunAddress(environment, entry.component, pin.release, what)
        for entry in change.pins
        for pin in (entry.old, entry.new)
        if pin is not None
        for what in (RunKind.BEFORE, RunKind.AFTER)
    }


def attending(target: Target, environment: str) -> AbstractAsyncContextManager[None]:
    """While inside, a target that is able to notices if this process vanishes."""
    return target.attending(environment) if isinstance(target, Attends) else nullcontext()


def _migrated(change: Change) -> set[str]:
    """Releases whose `before` the change was to run."""
    steps: Iterable[Run] = (planned.step for planned in change.steps if isinstance(planned.step, Run))
    return {step.run.release for step in steps if step.run.what is RunKind.BEFORE}


def _is_born(planned: PlannedStep, number: int) -> bool:
    return isinstance(planned.step, Start | Replace) and planned.step.group.born == number


async def _end_tasks(place: Place, claim: Claim, change: Change, observed: Observed) -> None:
    """A task goes on when whoever asked for it vanished: wait for its end. One that was ended in the middle stays so,
    for a person to see; it holds nothing up."""
    for planned in change.steps:
        step = planned.step
        if isinstance(step, Run) and step.run.what is RunKind.TASK:
            known = observed.runs.get(step.run)
            if known is not None and known.state is RunState.RUNNING:
                await place.target.run(step, epoch_of(claim))
