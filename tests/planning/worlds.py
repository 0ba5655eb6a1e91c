"""Random worlds: components with needs, releases of them, and sets of pins, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.model.plan import Phase, Plan, PlannedStep
from tidegate.planning import Policy, make_plan
from tidegate.testing.simulated import SimulatedTarget

ENVIRONMENT = "dev"
Draw = Callable[[st.SearchStrategy[PlannedStep]], PlannedStep]


def release(component: str, version: int, needs: tuple[str, ...] = ()) -> Release:
    """A release that is named by component, version and needs."""
    name = digest("release", [component, version, list(needs)])
    return Release(name, component, Kind.SERVICE, "shop", Runtime(run="x", needs=needs, verify="true"))


@dataclass(frozen=True)
class World:
    """Pins before and after, and every release that they name."""

    current: Pins
    wanted: Pins
    releases: dict[str, Release]

    def plan(
        self,
        target: SimulatedTarget,
        *,
        current: Pins,
        wanted: Pins,
        number: int = 1,
        scope: frozenset[str] | None = None,
        observe: int = 0,
    ) -> Plan:
        """What has to be done on a target."""
        return make_plan(
            environment=ENVIRONMENT,
            parent=number - 1,
            number=number,
            current=current,
            wanted=wanted,
            observed=target.look(ENVIRONMENT),
            releases=self.releases,
            policy=Policy(observe=observe),
            scope=scope,
        )

    def running(self) -> SimulatedTarget:
        """A target on which `current` was applied."""
        target = SimulatedTarget(self.releases)
        carry_out(target, self.plan(target, current={}, wanted=self.current))
        return target


def carry_out(target: SimulatedTarget, plan: Plan) -> None:
    """Take all steps of a plan."""
    for planned in linear(plan):
        take(target, planned)


def take(target: SimulatedTarget, planned: PlannedStep) -> None:
    """Take one step."""
    target.take(planned.step, ENVIRONMENT)


def linear(plan: Plan, draw: Draw | None = None) -> list[PlannedStep]:
    """All steps in an order that the plan allows; with `draw`, a random one."""
    ordered: list[PlannedStep] = []
    for phase in Phase:
        waiting = [planned for change in plan.changes for planned in change.steps if planned.phase is phase]
        done: set[str] = {p.id for p in ordered}
        ids = {planned.id for planned in waiting}
        while waiting:
            ready = [p for p in waiting if all(name in done or name not in ids for name in p.after)]
            chosen = draw(st.sampled_from(ready)) if draw else ready[0]
            waiting.remove(chosen)
            done.add(chosen.id)
            ordered.append(chosen)
    return ordered


@st.composite
def worlds(draw: st.DrawFn, most: int = 6) -> World:
    """Any graph of needs, any two sets of pins in which every need is met."""
    names = [f"c{place}" for place in range(draw(st.integers(1, most)))]
    known: dict[tuple[str, int], Release] = {}
    for place, name in enumerate(names):
        for version in (1, 2):
            needs = tuple(sorted(draw(st.sets(st.sampled_from(names[:place]), max_size=2)))) if place else ()
            known[name, version] = release(name, version, needs)

    def pins() -> Pins:
        found: dict[str, Pin] = {}
        for name in names:
            if not draw(st.integers(0, 4)):
                continue
            chosen = known[name, draw(st.integers(1, 2))]
            if all(need in found for need in chosen.runtime.needs):
                env = draw(st.sampled_from([(), (("COLOUR", "blue"),)]))
                found[name] = Pin(chosen.digest, "", Shape(replicas=draw(st.integers(1, 3)), env=env))
        return found

    return World(pins(), pins(), {each.digest: each for each in known.values()})


@dataclass(frozen=True)
class Seen:
    """All that users and callers can tell apart."""

    identities: dict[GroupAddress, str]
    edges: dict[GroupAddress, dict[str, GroupAddress | None]]
    entries: dict[tuple[str, str], GroupAddress]


def state(target: SimulatedTarget) -> Seen:
    """What users and callers see of a target now."""
    return Seen(
        {address: group.identity for address, group in target.groups.items()},
        {address: dict(group.edges) for address, group in target.groups.items()},
        dict(target.entries),
    )
