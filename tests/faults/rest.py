"""Where an environment may rest after something died, and what the journal has to tell of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tests.faults.scenes import Hands, Work
from tidegate.model.component import Kind, RunKind
from tidegate.model.observed import Observed, RunState
from tidegate.model.pins import Pins
from tidegate.ports.store import Event

MANY = 600  # events, of several changes
ENDS = {"finished", "undone", "recovered", "settled"}


async def check_rest(hands: Hands, work: Work, *, may: Sequence[int] = (1, 2), told_once: bool = True) -> int:
    """The version that all components have: one of `may`. Nobody holds anything, nothing is left over, nothing is to
    be done, and, unless somebody who had lost his right still wrote into it, the journal tells one story."""
    assert (await hands.store.environment("dev")).claims == ()
    pins = await hands.pins()
    (version,) = [version for version in may if work.versions[version] == pins]
    observed = await hands.target.observe("dev")
    history = await hands.store.history("dev")
    committed = {pin.release for revision in history for pin in revision.pins.values()}
    check_observed(observed, pins, work, committed)
    assert (await hands.plan(pins)).empty
    assert [older.number for older in history[1:]] == [newer.parent for newer in history[:-1]]
    if told_once:
        journal = await hands.store.events(environment="dev", limit=MANY)
        first = journal[0].epoch if len(journal) == MANY else 0  # its beginning may be missing
        check_story([event for event in journal if event.epoch != first])
    return version


def check_observed(observed: Observed, pins: Pins, work: Work, committed: Collection[str]) -> None:
    """Exactly one group for each component, whole; entries and edges lead to these; its migrations have run; what ran
    for a release that was never committed was taken back."""
    groups = {address.component: group for address, group in observed.groups.items()}
    assert len(groups) == len(observed.groups), f"left over: {sorted(map(str, observed.groups))}"
    assert {name: group.identity for name, group in groups.items()} == {n: pin.identity for n, pin in pins.items()}
    for name, pin in pins.items():
        group, made = groups[name], work.releases[pin.release]
        assert group.healthy == group.replicas == pin.shape.replicas
        served = group.address if made.kind is Kind.SERVICE else None
        assert observed.entries.get(name) == served
        assert dict(group.edges) == {need: groups[need].address for need in made.runtime.needs}
    assert observed.entries.keys() <= pins.keys()
    done = {(run.release, run.what) for run in observed.runs}
    for pin in pins.values():
        for what in (RunKind.BEFORE, RunKind.AFTER):
            due = work.releases[pin.release].runtime.hook(what) is not None
            assert ((pin.release, what) in done) == due, f"{what} of {pin.release}"
    for run in observed.runs.values():
        before = work.releases[run.address.release].runtime.before
        assert run.state is RunState.DONE
        if run.address.what is RunKind.BEFORE and before is not None and before.undo is not None:
            assert run.address.release in committed, f"{run.address} was not taken back"


def check_story(events: Sequence[Event]) -> None:
    """One executor after the other; a step that was begun and did not end is the last that its executor did; whoever
    came to its end says so; the last one did."""
    epochs = [event.epoch for event in events]
    assert epochs == sorted(epochs), "two at once"
    for epoch in sorted(set(epochs)):
        own = [event for event in events if event.epoch == epoch]
        kinds = [event.kind for event in own]
        begun: list[str] = []
        for event in own:
            if event.kind == "step-begun":
                begun.append(event.step)
            elif event.kind in {"step-done", "step-failed"}:
                begun.remove(event.step)
        came_to_its_end = ENDS.intersection(kinds)
        if came_to_its_end:
            assert kinds[-1] in ENDS
            assert kinds.count(kinds[-1]) == 1
            assert "step-failed" in kinds or begun == []
        assert came_to_its_end or epoch != epochs[-1], f"{kinds} is the end of the story"
        assert kinds.count("committed") <= 1
