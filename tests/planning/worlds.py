"""Random worlds: components with needs, releases of them, and sets of pins, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tidegate.model.address import GroupAddress
from tidegate.model.component import Hook, Kind, Release, RunKind, Runtime
from tidegate.model.digest import digest
from tidegate.model.pins import Pin, Pins, Resource, Shape
from tidegate.model.plan import Change, Phase, Plan, PlannedStep
from tidegate.model.step import Run
from tidegate.planning import Limit, Policy, make_plan
from tidegate.testing.simulated import SimulatedTarget

ENVIRONMENT = "dev"
Draw = Callable[[st.SearchStrategy[PlannedStep]], PlannedStep]


def release(
    component: str, version: int, needs: tuple[str, ...] = (), kind: Kind = Kind.SERVICE, **runtime: Any
) -> Release:
    """A release that is named by component, version and needs."""
    name = digest("release", [component, version, list(needs), kind.value, repr(sorted(runtime.items()))])
    return Release(name, component, kind, "shop", Runtime(run="x", needs=needs, verify="true", **runtime))


@dataclass(frozen=True)
class World:
    """Pins before and after, and every release that they name."""

    current: Pins
    wanted: Pins
    releases: dict[str, Release]
    limit: Limit = field(default_factory=Limit)

    def plan(
        self,
        target: SimulatedTarget,
        *,
        current: Pins,
        wanted: Pins,
        number: int = 1,
        scope: frozenset[str] | None = None,
        observe: int = 0,
        undoing: Change | None = None,
    ) -> Plan:
        """What has to be done on a target; with `scope`, as one change, with `undoing`, as its undo."""
        return make_plan(
            environment=ENVIRONMENT,
            parent=number - 1,
            number=number,
            current=current,
            wanted=wanted,
            observed=target.look(ENVIRONMENT),
            releases=self.releases,
            policy=Policy(observe=observe, max_extra=self.limit, withdraw=undoing is None),
            scope=frozenset(undoing.components) if undoing else scope,
            as_one=bool(scope or undoing),
            taken_back=migrated(undoing) if undoing else (),
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
    waves = max((change.waves for change in plan.changes), default=0)
    for place in [(wave, phase) for wave in range(waves) for phase in Phase]:
        steps = [planned for change in plan.changes for planned in change.steps]
        waiting = [planned for planned in steps if (planned.wave, planned.phase) == place]
        done: set[str] = {p.id for p in ordered}
        ids = {planned.id for planned in waiting}
        while waiting:
            ready = [p for p in waiting if all(name in done or name not in ids for name in p.after)]
            chosen = draw(st.sampled_from(ready)) if draw else ready[0]
            waiting.remove(chosen)
            done.add(chosen.id)
            ordered.append(chosen)
    return ordered


def before_commit(plan: Plan, draw: Draw) -> list[PlannedStep]:
    """The steps that come before the commit of each change, in a random order that the plan allows."""
    last = {id(planned): change.waves - 1 for change in plan.changes for planned in change.steps}
    ordered = linear(plan, draw)
    return [p for p in ordered if p.phase is not Phase.FINISH or p.wave < last[id(p)]]


def migrated(change: Change) -> set[str]:
    """Releases whose `before` a change runs."""
    runs = [planned.step.run for planned in change.steps if isinstance(planned.step, Run)]
    return {run.release for run in runs if run.what is RunKind.BEFORE}


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


DATABASE = Resource("postgres", "postgresql://127.0.0.1:$PORT", data=True)


@st.composite
def mixed_worlds(draw: st.DrawFn, most: int = 6) -> World:
    """As `worlds`, with workers, tasks, components that must not overlap, migrations, a resource, and perhaps a limit
    for what may run beside what runs already."""
    names = [f"c{place}" for place in range(draw(st.integers(1, most)))]
    kinds = {name: draw(st.sampled_from([Kind.SERVICE] * 4 + [Kind.WORKER, Kind.TASK])) for name in names}
    known: dict[tuple[str, int], Release] = {}
    for place, name in enumerate(names):
        services = [other for other in names[:place] if kinds[other] is Kind.SERVICE]
        for version in (1, 2):
            needs = tuple(sorted(draw(st.sets(st.sampled_from(services), max_size=2)))) if services else ()
            more: dict[str, Any] = {}
            if kinds[name] is not Kind.TASK:
                more["overlap"] = draw(st.sampled_from([True, True, False]))
                undo = draw(st.sampled_from([None, f"undo {name} {version}"]))
                more["before"] = draw(st.sampled_from([None, Hook(f"before {name} {version}", undo)]))
                more["after"] = draw(st.sampled_from([None, None, Hook(f"after {name} {version}")]))
            known[name, version] = release(name, version, needs, kinds[name], **more)

    def pins() -> Pins:
        found: dict[str, Pin] = {}
        for name in names:
            chosen = known[name, draw(st.integers(1, 2))]
            if draw(st.integers(0, 4)) and all(need in found for need in chosen.runtime.needs):
                resources = draw(st.sampled_from([(), (("db", DATABASE),)]))
                found[name] = Pin(chosen.digest, "", Shape(draw(st.integers(1, 3)), resources=resources))
        return found

    limit = draw(st.sampled_from([Limit(), Limit(instances=draw(st.integers(3, 5)))]))
    return World(pins(), pins(), {each.digest: each for each in known.values()}, limit)


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
