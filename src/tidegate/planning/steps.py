"""The steps of one change and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, RunKind
from tidegate.model.observed import ObservedGroup
from tidegate.model.plan import Phase, PlannedStep
from tidegate.model.step import (
    Observe,
    Prepare,
    Provide,
    Replace,
    Retire,
    Revert,
    Run,
    Scale,
    Start,
    Verify,
    Withdraw,
)
from tidegate.planning.drift import missing_resources
from tidegate.planning.runs import address, is_due, to_revert
from tidegate.planning.scene import Scene
from tidegate.planning.wiring import edges_from_birth, moves, watched_edges

ORDER = list(Phase)


@dataclass(frozen=True, slots=True)
class Part:
    """One change before it has steps. `targets` maps its components and all that they need to their groups;
    `starting` are those that need instances, `replaced` those of them that may not start beside others of theirs,
    `waves` says when each of them comes; everything that starts nothing comes in the `last`."""

    names: Sequence[str]
    targets: Mapping[str, GroupAddress | None]
    starting: Mapping[str, GroupAddress]
    replaced: frozenset[str]
    waves: Mapping[str, int]
    last: int

    def wave(self, name: str) -> int:
        """The wave of a component."""
        return self.waves.get(name, self.last)


def starts(scene: Scene, name: str) -> bool:
    """Whether instances have to be started: a new group, more replicas, or some that are not healthy."""
    if scene.kind(name) in {None, Kind.TASK}:
        return False
    replicas = scene.wanted[name].shape.replicas
    group = scene.chosen.get(name)
    return group is None or group.replicas < replicas or group.healthy < replicas


def replaces(scene: Scene, name: str) -> bool:
    """Whether its instances may only start once those of its other groups have stopped, and not before the switch.

    The release that runs has a say as well: whoever could not bear another beside it still cannot.
    """
    if name in scene.chosen and not any(group.instances for group in scene.others(name)):
        return False
    pins = (scene.wanted[name], scene.current.get(name))
    return any(
        scene.releases[pin.release].replaced(own_addresses=scene.observed.own_addresses)
        for pin in pins
        if pin is not None
    )


def steps_of(scene: Scene, part: Part, *, observe: int, max_errors: int, withdraw: bool) -> tuple[PlannedStep, ...]:
    """Prepare, switch and finish of one change, wave by wave."""
    late = _late(scene, part)
    steps = [*_provide(scene, part), *_tasks(scene, part)]
    for name, group in part.starting.items():
        steps += _start(scene, part, name, group, late)
    for wave in range(part.last + 1):
        names = [name for name in part.names if part.wave(name) == wave] if part.last else part.names
        steps += _switch(scene, part, names, steps, wave, observe=observe, max_errors=max_errors)
    steps += _finish(scene, part)
    steps += _runs_of_finish(scene, part, steps)
    if withdraw:
        steps += _withdraw(scene, part, steps)
    if late or part.last:  # otherwise they were added in this order
        steps.sort(key=lambda planned: (planned.wave, ORDER.index(planned.phase)))
    return in_reading_order(steps)


def in_reading_order(steps: Sequence[PlannedStep]) -> tuple[PlannedStep, ...]:
    """The same steps, none before one that it comes after; otherwise as they were."""
    known = {planned.id: planned for planned in steps}
    ordered: dict[str, PlannedStep] = {}
    for planned in steps:
        waiting = [planned]  # no recursion: a chain of needs may be longer than Python's stack
        while waiting:
            missing = [known[name] for name in waiting[-1].after if name not in ordered]
            if missing:
                waiting += missing
            else:
                last = waiting.pop()
                ordered[last.id] = last
    return tuple(ordered.values())


def _late(scene: Scene, part: Part) -> frozenset[str]:
    """Those that start in the switch: replaced ones, and whoever among the starting needs one of them, for what is
    verified has to be what users get."""
    if not part.replaced:
        return part.replaced
    late = set(part.replaced)
    while more := {
        name for name in part.starting if name not in late and late.intersection(scene.needs(scene.wanted[name]))
    }:
        late |= more
    return frozenset(late)


def _provide(scene: Scene, part: Part) -> list[PlannedStep]:
    missing = {
        name: resource
        for component in part.names
        if (pin := scene.wanted.get(component)) and pin.shape.resources and scene.kind(component) is not Kind.TASK
        for name, resource in missing_resources(scene, pin)
    }
    return [
        PlannedStep(f"provide:{name}", Phase.PREPARE, Provide(name, resource))
        for name, resource in sorted(missing.items())
    ]


def _tasks(scene: Scene, part: Part) -> list[PlannedStep]:
    """A task is only made ready: somebody has to ask for it."""
    return [
        PlannedStep(f"prepare:{name}", Phase.PREPARE, Prepare(name, scene.wanted[name].release), wave=part.wave(name))
        for name in part.names
        if scene.kind(name) is Kind.TASK and scene.current.get(name) != scene.wanted[name]
    ]


def _start(scene: Scene, part: Part, name: str, group: GroupAddress, late: frozenset[str]) -> list[PlannedStep]:
    pin = scene.wanted[name]
    runtime = scene.releases[pin.release].runtime
    wave = part.wave(name)
    steps = [PlannedStep(f"prepare:{name}", Phase.PREPARE, Prepare(name, pin.release), wave=wave)]
    provided = tuple(f"provide:{resource}" for resource, _ in missing_resources(scene, pin))
    if runtime.before is not None and is_due(scene, name, RunKind.BEFORE):
        run = Run(address(scene, name, RunKind.BEFORE), pin)
        steps.append(PlannedStep(f"before:{name}", Phase.PREPARE, run, (f"prepare:{name}", *provided), wave))
    phase = Phase.SWITCH if name in late else Phase.PREPARE
    needed = [need for need in runtime.needs if need in part.starting and part.wave(need) == wave]
    after = (*(planned.id for planned in steps), *provided, *(f"start:{part.starting[need].name}" for need in needed))
    edges = edges_from_birth(scene, name, part.targets)
    if name in part.replaced:
        stops = tuple(other.address for other in scene.others(name) if other.instances)
        start: Start | Replace = Replace(group, pin, edges, stops)
    else:
        start = Start(group, pin, edges)
    steps.append(PlannedStep(f"start:{group.name}", phase, start, after, wave))
    if runtime.verify and name not in scene.chosen:
        verify = Verify(group, pin.release)
        steps.append(PlannedStep(f"verify:{group.name}", phase, verify, (f"start:{group.name}",), wave))
    return steps


def _switch(
    scene: Scene,
    part: Part,
    names: Sequence[str],
    earlier: Sequence[PlannedStep],
    wave: int,
    *,
    observe: int,
    max_errors: int,
) -> list[PlannedStep]:
    own = [planned for planned in earlier if planned.wave == wave]
    started = tuple(planned.id for planned in own if planned.phase is Phase.SWITCH)
    suffix = f"-{wave + 1}" if wave else ""
    steps = []
    later = [name for name in part.names if part.wave(name) > wave] if part.last else ()
    staying = [group for name in later for group in scene.others(name)]
    route = moves(scene, names, part.targets, staying)
    if route.entries or route.edges:
        steps.append(PlannedStep(f"route{suffix}", Phase.SWITCH, route, started, wave))
    watched = {name: group for name in names if (group := part.targets[name])}
    if observe and watched and (own or steps):
        born = {name: part.starting[name] for name in names if name in part.starting and name not in scene.chosen}
        entries = tuple(name for name in watched if scene.kind(name) is Kind.SERVICE)
        edges = watched_edges(scene, names, born)
        step = Observe(tuple(sorted(watched.values())), entries, edges, observe, max_errors)
        after = (steps[0].id,) if steps else started
        steps.append(PlannedStep(f"observe{suffix}", Phase.SWITCH, step, after, wave))
    return steps


def _finish(scene: Scene, part: Part) -> list[PlannedStep]:
    """Scale down what stays; retire what nothing pins, callers before the called, so that no request is cut off."""
    steps = []
    leaving: dict[GroupAddress, ObservedGroup] = {}
    for name in part.names:
        for other in scene.others(name):
            leaving[other.address] = other
        stays = scene.chosen.get(name)
        if stays and stays.replicas > (replicas := scene.wanted[name].shape.replicas):
            scale = Scale(stays.address, replicas)
            steps.append(PlannedStep(f"scale:{stays.address.name}", Phase.FINISH, scale, wave=part.last))
    callers: dict[GroupAddress, list[GroupAddress]] = {}
    for caller, group in leaving.items():
        for called in group.edges.values():
            if called in leaving:
                callers.setdefault(called, []).append(caller)
    for going in leaving:
        wave = part.wave(going.component)
        # In waves, callers that go later were led to the new groups when these were switched.
        after = [f"retire:{by.name}" for by in callers.get(going, ()) if part.wave(by.component) <= wave]
        steps.append(PlannedStep(f"retire:{going.name}", Phase.FINISH, Retire(going), tuple(sorted(after)), wave))
    return steps


def _runs_of_finish(scene: Scene, part: Part, earlier: Sequence[PlannedStep]) -> list[PlannedStep]:
    """Contracting migrations once nothing old runs any more, and what has to be taken back once nothing new does."""
    steps = []
    for name in part.names:
        after, back = is_due(scene, name, RunKind.AFTER), to_revert(scene, name)
        if not after and not back:
            continue
        gone = tuple(
            planned.id
            for planned in earlier
            if isinstance(planned.step, Retire) and planned.step.group.component == name
        )
        if after:
            run = Run(address(scene, name, RunKind.AFTER), scene.wanted[name])
            steps.append(PlannedStep(f"after:{name}", Phase.FINISH, run, gone, part.last))
        steps += [
            PlannedStep(f"revert:{run.address.name}", Phase.FINISH, Revert(run.address, run.pin), gone, part.last)
            for run in back
        ]
    return steps


def _withdraw(scene: Scene, part: Part, earlier: Sequence[PlannedStep]) -> list[PlannedStep]:
    """Resources that nothing uses any more, and that something of this change used."""
    used = {
        name for component in part.names if (pin := scene.current.get(component)) for name, _ in pin.shape.resources
    }
    if not used:
        return []
    wanted = {name for pin in scene.wanted.values() for name, _ in pin.shape.resources}
    last = tuple(planned.id for planned in earlier if planned.phase is Phase.FINISH)
    return [
        PlannedStep(f"withdraw:{name}", Phase.FINISH, Withdraw(name), last, part.last)
        for name in sorted(scene.observed.resources)
        if name in used - wanted
    ]
