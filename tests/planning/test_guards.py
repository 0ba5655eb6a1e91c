"""What the planner refuses however it was asked for."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from tests.planning.worlds import World, carry_out, release
from tidegate.errors import UnsafePlan
from tidegate.model.address import GroupAddress
from tidegate.model.cluster import ClusterShape
from tidegate.model.component import Health, Kind, Release, Runtime
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance
from tidegate.model.pins import Pin, Pins, Resource, Shape
from tidegate.model.plan import Plan
from tidegate.model.step import Replace, Start
from tidegate.planning import Policy, make_plan, wanted_by_up
from tidegate.testing.simulated import SimulatedTarget


def pin(of: Release, replicas: int = 1) -> Pin:
    return Pin(of.digest, "", Shape(replicas=replicas))


BACKEND = release("backend", 1)
FRONTEND = release("frontend", 1, ("backend",))
BOTH = {"backend": pin(BACKEND), "frontend": pin(FRONTEND)}


def test_a_component_that_others_need_is_not_removed() -> None:
    """The refusal names who needs it."""
    world = World(BOTH, {"frontend": BOTH["frontend"]}, {r.digest: r for r in (BACKEND, FRONTEND)})
    with pytest.raises(UnsafePlan, match="cannot remove backend") as refusal:
        world.plan(world.running(), current=world.current, wanted=world.wanted, number=100)
    assert "frontend still needs it" in str(refusal.value)


def test_a_component_does_not_come_without_what_it_needs() -> None:
    """The hint says how to take it along."""
    world = World({}, {"frontend": BOTH["frontend"]}, {r.digest: r for r in (BACKEND, FRONTEND)})
    with pytest.raises(UnsafePlan, match="cannot run frontend without backend"):
        world.plan(SimulatedTarget(world.releases), current={}, wanted=world.wanted)


@pytest.mark.parametrize("field", [each.name for each in fields(Shape)])
def test_whatever_changes_about_a_component_is_carried_out_and_said(field: str) -> None:
    """Also where its release stays as it is."""
    other = Shape(
        replicas=2,
        exposed=True,
        env=(("LEVEL", "debug"),),
        resources=(("db", Resource("run", "url", Health())),),
        cluster=ClusterShape(limits=(("memory", "1Gi"),)),
    )
    old = Pin(BACKEND.digest, "", Shape(cluster=ClusterShape()))
    new = replace(old, shape=replace(old.shape, **{field: getattr(other, field)}))
    group = ObservedGroup(
        GroupAddress("dev", "backend", 1),
        old.identity,
        old.release,
        1,
        (ObservedInstance(0, InstanceState.HEALTHY),),
    )
    plan = make_plan(
        environment="dev",
        parent=1,
        number=2,
        current={"backend": old},
        wanted={"backend": new},
        observed=Observed("dev", {group.address: group}, {"backend": group.address}),
        releases={BACKEND.digest: BACKEND},
        policy=Policy(),
    )
    (change,) = plan.changes
    assert [(each.old, each.new) for each in change.pins] == [(old, new)]
    assert all(change.pins[0].why)


@pytest.mark.parametrize("own_addresses", [False, True])
def test_a_program_with_one_port_is_replaced_only_where_two_would_share_it(own_addresses: bool) -> None:
    """Where each instance has an address of its own, the new ones start beside the old and are switched."""
    old, new = (
        Release(f"sha256:{version}", "legacy", Kind.SERVICE, "shop", Runtime(run="x", port=80)) for version in "12"
    )
    group = ObservedGroup(
        GroupAddress("dev", "legacy", 1),
        pin(old).identity,
        old.digest,
        1,
        (ObservedInstance(0, InstanceState.HEALTHY),),
    )
    plan = make_plan(
        environment="dev",
        parent=1,
        number=2,
        current={"legacy": pin(old)},
        wanted={"legacy": pin(new)},
        observed=Observed("dev", {group.address: group}, {"legacy": group.address}, own_addresses=own_addresses),
        releases={old.digest: old, new.digest: new},
        policy=Policy(),
    )
    kinds = {type(entry.step) for change in plan.changes for entry in change.steps}
    assert (Start in kinds, Replace in kinds) == (own_addresses, not own_addresses)


def test_a_release_of_uncommitted_sources_never_leaves_the_first_environment() -> None:
    """What already runs is not touched by that rule."""
    dirty = Release("sha256:d", "backend", Kind.SERVICE, "shop", Runtime(run="x"), dirty=True)

    def plan(current: Pins) -> Plan:
        return make_plan(
            environment="stage",
            parent=0,
            number=1,
            wanted={"backend": pin(dirty)},
            observed=Observed("stage"),
            releases={dirty.digest: dirty},
            policy=Policy(allow_dirty=False),
            current=current,
        )

    with pytest.raises(UnsafePlan, match="not committed"):
        plan(current={})
    assert not plan(current={"backend": pin(dirty)}).empty


def test_up_leaves_the_components_of_other_checkouts_alone() -> None:
    """Only removal by name takes something away."""
    other = release("orders", 1)
    current = {"orders": pin(other), **BOTH}
    newer = {"backend": pin(release("backend", 2))}
    assert wanted_by_up(current, newer) == {**current, **newer}
    assert wanted_by_up(current, newer, remove=["orders"]) == {**BOTH, **newer}
    with pytest.raises(UnsafePlan, match="cannot remove nothing"):
        wanted_by_up(current, newer, remove=["nothing"])


def test_the_peak_counts_what_runs_beside_the_old() -> None:
    """Three new instances beside three old ones are three more."""
    newer = release("backend", 2)
    world = World({"backend": pin(BACKEND, 3)}, {"backend": pin(newer, 3)}, {r.digest: r for r in (BACKEND, newer)})
    target = world.running()
    (change,) = world.plan(target, current=world.current, wanted=world.wanted, number=100).changes
    assert (change.peak_instances, change.unmeasured) == (3, 3)


def test_a_dependency_that_changes_alone_moves_the_edges_of_those_that_stay() -> None:
    """And the dependents are neither started nor stopped."""
    newer = release("backend", 2)
    world = World(BOTH, {**BOTH, "backend": pin(newer)}, {r.digest: r for r in (BACKEND, FRONTEND, newer)})
    target = world.running()
    plan = world.plan(target, current=world.current, wanted=world.wanted, number=100)
    assert [change.components for change in plan.changes] == [("backend",)]
    carry_out(target, plan)
    assert target.answers("dev", "frontend") == {"frontend": FRONTEND.digest, "backend": newer.digest}


def test_a_chain_of_a_thousand_needs_is_planned() -> None:
    """However deep the graph, and steps are listed after those they come after."""
    names = [f"c{place:04}" for place in reversed(range(1000))]
    made = {name: release(name, 1, tuple(names[place - 1 : place])) for place, name in enumerate(names)}
    world = World({}, {name: pin(each) for name, each in made.items()}, {r.digest: r for r in made.values()})
    (change,) = world.plan(SimulatedTarget(world.releases), current={}, wanted=world.wanted).changes
    listed: set[str] = set()
    for planned in change.steps:
        assert listed.issuperset(planned.after)
        listed.add(planned.id)
