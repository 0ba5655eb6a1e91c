"""What the planner promises for every graph, every two sets of pins, and every order that the plan allows."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planning.worlds import (
    World,
    before_commit,
    carry_out,
    linear,
    mixed_worlds,
    state,
    take,
    worlds,
)
from tidegate.model.pins import Pins
from tidegate.model.step import Retire, Start

FEW = settings(max_examples=60, deadline=None)


ANY = st.one_of(worlds(), mixed_worlds())


@FEW
@given(ANY)
def test_after_apply_there_is_nothing_left_to_plan(world: World) -> None:
    """Applying and then planning again is empty."""
    target = world.running()
    carry_out(target, world.plan(target, current=world.current, wanted=world.wanted, number=100))
    assert world.plan(target, current=world.wanted, wanted=world.wanted, number=1000).empty


@FEW
@given(ANY, st.data())
def test_undoing_any_prefix_restores_what_was(world: World, data: st.DataObject) -> None:
    """However far a change got before its commit, planning for the parent brings back what answered and what ran.

    What was migrated for it is taken back where it can be. In several waves old groups may have been retired by then;
    they are born again under another number.
    """
    target = world.running()
    before = state(target)
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    forward = before_commit(plan, data.draw)
    for planned in forward[: data.draw(st.integers(0, len(forward)))]:
        take(target, planned)
    for place, change in enumerate(plan.changes):
        undo = world.plan(target, current=world.current, wanted=world.current, number=1000 + place, undoing=change)
        assert len(undo.changes) <= 1
        carry_out(target, undo)
    if all(change.waves == 1 for change in plan.changes):
        assert state(target) == before
    assert sorted(state(target).identities.values()) == sorted(before.identities.values())
    committed = {pin.release for pin in world.current.values()}
    for run in target.runs.values():
        hook = world.releases[run.address.release].runtime.hook(run.address.what)
        assert run.address.release in committed or (hook and hook.undo is None)
    assert world.plan(target, current=world.current, wanted=world.current, number=3000).empty


@FEW
@given(mixed_worlds(), st.data())
def test_what_must_not_overlap_never_does(world: World, data: st.DataObject) -> None:
    """At no moment do instances of two groups of such a component run, and its migration ran before the new one did."""
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    for planned in linear(plan, data.draw):
        take(target, planned)
        for component in {address.component for address in target.groups}:
            alive = [g for g in target.groups.values() if g.address.component == component and g.instances]
            releases = [world.releases[group.release] for group in alive]
            assert len(alive) < 2 or not any(release.replaced(own_addresses=False) for release in releases)
            for release in releases:
                if release.runtime.before:
                    assert release.runtime.before.run in target.ran


@FEW
@given(mixed_worlds(), st.data())
def test_no_more_runs_twice_than_is_allowed(world: World, data: st.DataObject) -> None:
    """Between any two steps the old instances that run beside their successors stay within max_extra, and what runs
    stays within the peak that the plan tells."""
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    for turn in sorted({change.turn for change in plan.changes}):
        together = replace(plan, changes=tuple(change for change in plan.changes if change.turn == turn))
        peak = sum(change.peak_instances for change in together.changes)
        began = sum(len(group.instances) for group in target.groups.values())
        for wave in range(max(change.waves for change in together.changes)):
            for planned in linear(together, data.draw):
                if planned.wave != wave:
                    continue
                take(target, planned)
                by_component: dict[str, list[int]] = {}
                for group in target.groups.values():
                    by_component.setdefault(group.address.component, []).append(len(group.instances))
                twice = sum(min(counts) for counts in by_component.values() if len(counts) > 1)
                assert world.limit.instances is None or twice <= world.limit.instances
                assert sum(map(sum, by_component.values())) <= began + peak


@FEW
@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_files_never_matters(world: World, random: Random) -> None:
    """Pins in any order make the same plan, to the byte."""
    target = world.running()

    def shuffled(pins: Pins) -> Pins:
        names = list(pins)
        random.shuffle(names)
        return {name: pins[name] for name in names}

    one = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    two = world.plan(target, current=shuffled(world.current), wanted=shuffled(world.wanted), number=100)
    assert (one, one.digest) == (two, two.digest)


@FEW
@given(worlds())
def test_starts_follow_the_graph_and_nothing_else(world: World) -> None:
    """A group starts after the new groups it needs, and waits for no other."""
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    for change in plan.changes:
        starts = {p.step.group.component: (p, p.step) for p in change.steps if isinstance(p.step, Start)}
        for component, (planned, start) in starts.items():
            needs = world.releases[start.pin.release].runtime.needs
            expected = {f"prepare:{component}", *(starts[need][0].id for need in needs if need in starts)}
            assert set(planned.after) == expected


@FEW
@given(worlds())
def test_connected_differences_are_one_change_and_unconnected_ones_are_separate(world: World) -> None:
    """Two components share a change if and only if a path of needs among differing components joins them."""
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    differing = {pin.component for change in plan.changes for pin in change.pins}
    joined = {name: {name} for name in differing}
    for pins in (world.current, world.wanted):
        for name in differing & set(pins):
            for need in set(world.releases[pins[name].release].runtime.needs) & differing:
                both = joined[name] | joined[need]
                for each in both:
                    joined[each] = both
    assert sorted(change.components for change in plan.changes) == sorted({tuple(sorted(s)) for s in joined.values()})
    assert [change.number for change in plan.changes] == list(range(100, 100 + len(plan.changes)))


@FEW
@given(worlds(), st.data())
def test_no_answer_ever_mixes_old_and_new(world: World, data: st.DataObject) -> None:
    """Between any two steps, whoever calls an entry is answered by groups of one side of each change only."""
    target = world.running()
    old_groups = set(target.groups)
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    changed = {name: change.number for change in plan.changes for name in change.components}
    for planned in linear(plan, data.draw):
        take(target, planned)
        for where, component in target.entries:
            sides: dict[int, set[bool]] = {}
            waiting = [target.entries[where, component]]
            while waiting:
                address = waiting.pop()
                group = target.groups[address]
                if address.component in changed and _differs(world, address.component):
                    sides.setdefault(changed[address.component], set()).add(address in old_groups)
                waiting += [to for to in group.edges.values() if to]
            assert all(len(side) == 1 for side in sides.values())


def _differs(world: World, component: str) -> bool:
    """Whether the change gives the component a group of its own (scaling keeps the group)."""
    old, new = world.current.get(component), world.wanted.get(component)
    return old is None or new is None or old.identity != new.identity


@FEW
@given(ANY, st.data())
def test_only_groups_without_callers_are_retired(world: World, data: st.DataObject) -> None:
    """When a group is retired, no entry and no edge of another group leads to it."""
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    for planned in linear(plan, data.draw):
        if isinstance(planned.step, Retire):
            pointing = [*target.entries.values()]
            pointing += [to for group in target.groups.values() for to in group.edges.values() if to]
            assert planned.step.group not in pointing
        take(target, planned)


@FEW
@given(worlds(), st.data())
def test_a_damaged_environment_is_repaired(world: World, data: st.DataObject) -> None:
    """Dead instances, a lost group, an entry that leads nowhere: plan and apply put them right."""
    target = world.running()
    for address in list(target.groups):
        damage = data.draw(st.sampled_from(["none", "crash", "entry"]))
        if damage == "crash":
            target.crash(address, 1)
        elif damage == "entry":
            target.entries.pop(("dev", address.component), None)
    carry_out(target, world.plan(target, current=world.current, wanted=world.current, number=100))
    assert world.plan(target, current=world.current, wanted=world.current, number=1000).empty
    for component, pin in world.current.items():
        assert target.answers("dev", component)[component] == pin.release
