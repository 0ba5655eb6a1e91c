"""What the planner promises for every graph, every two sets of pins, and every order that the plan allows."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planning.worlds import World, carry_out, linear, state, take, worlds
from tidegate.model.pins import Pins
from tidegate.model.plan import Phase
from tidegate.model.step import Retire, Start

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(worlds())
def test_after_apply_there_is_nothing_left_to_plan(world: World) -> None:
    """Applying and then planning again is empty."""
    target = world.running()
    carry_out(target, world.plan(target, current=world.current, wanted=world.wanted, number=100))
    assert world.plan(target, current=world.wanted, wanted=world.wanted, number=1000).empty


@FEW
@given(worlds(), st.data())
def test_undoing_any_prefix_restores_what_was(world: World, data: st.DataObject) -> None:
    """However far a change got before its commit, planning for the parent brings back exactly the former state."""
    target = world.running()
    before = state(target)
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    forward = [planned for planned in linear(plan, data.draw) if planned.phase is not Phase.FINISH]
    for planned in forward[: data.draw(st.integers(0, len(forward)))]:
        take(target, planned)
    for change in plan.changes:
        undo = world.plan(
            target, current=world.current, wanted=world.current, number=1000, scope=frozenset(change.components)
        )
        assert len(undo.changes) <= 1
        carry_out(target, undo)
    assert state(target) == before
    assert world.plan(target, current=world.current, wanted=world.current, number=300).empty


@FEW
@given(worlds(), st.randoms(use_true_random=False))
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
@given(worlds(), st.data())
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
