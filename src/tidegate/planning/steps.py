"""The steps of one change and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidegate.model.address import GroupAddress
from tidegate.model.plan import Phase, PlannedStep
from tidegate.model.step import Observe, Prepare, Retire, Scale, Start, Verify
from tidegate.planning.changes import Scene
from tidegate.planning.wiring import edges_from_birth, moves, watched_edges


def steps_of(
    scene: Scene, part: Sequence[str], targets: Mapping[str, GroupAddress | None], *, observe: int, max_errors: int
) -> tuple[PlannedStep, ...]:
    """Prepare, switch and finish of one change. `targets` maps the components of `part` and all that they need."""
    starting = {name: group for name in part if (group := targets[name]) and _starts(scene, name)}
    steps = _prepare(scene, starting, targets)
    route = moves(scene, part, targets)
    if route.entries or route.edges:
        steps.append(PlannedStep("route", Phase.SWITCH, route))
    watched = {name: group for name in part if (group := targets[name])}
    if observe and watched and steps:
        born = {name: group for name, group in starting.items() if name not in scene.chosen}
        step = Observe(
            tuple(sorted(watched.values())), tuple(watched), watched_edges(scene, part, born), observe, max_errors
        )
        after = ("route",) if steps and steps[-1].id == "route" else ()
        steps.append(PlannedStep("observe", Phase.SWITCH, step, after))
    return in_reading_order((*steps, *_finish(scene, part)))


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


def _starts(scene: Scene, name: str) -> bool:
    """Whether instances have to be started: a new group, more replicas, or some that are not healthy."""
    replicas = scene.wanted[name].shape.replicas
    group = scene.chosen.get(name)
    return group is None or group.replicas < replicas or group.healthy < replicas


def _prepare(
    scene: Scene, starting: Mapping[str, GroupAddress], targets: Mapping[str, GroupAddress | None]
) -> list[PlannedStep]:
    steps = []
    for name, group in starting.items():
        pin = scene.wanted[name]
        runtime = scene.releases[pin.release].runtime
        prepare, start = f"prepare:{name}", f"start:{group.name}"
        steps.append(PlannedStep(prepare, Phase.PREPARE, Prepare(name, pin.release)))
        after = [f"start:{starting[need].name}" for need in runtime.needs if need in starting]
        edges = edges_from_birth(scene, name, targets)
        steps.append(PlannedStep(start, Phase.PREPARE, Start(group, pin, edges), (prepare, *after)))
        if runtime.verify and name not in scene.chosen:
            steps.append(PlannedStep(f"verify:{group.name}", Phase.PREPARE, Verify(group, pin.release), (start,)))
    return steps


def _finish(scene: Scene, part: Sequence[str]) -> list[PlannedStep]:
    """Scale down what stays; retire what nothing pins, callers before the called, so that no request is cut off."""
    steps = []
    leaving = {}
    for name in part:
        stays = scene.chosen.get(name)
        leaving.update({group.address: group for group in scene.groups.get(name, ()) if group is not stays})
        if stays and stays.replicas > (replicas := scene.wanted[name].shape.replicas):
            steps.append(PlannedStep(f"scale:{stays.address.name}", Phase.FINISH, Scale(stays.address, replicas)))
    callers: dict[GroupAddress, list[str]] = {}
    for address, group in leaving.items():
        for called in group.edges.values():
            if called in leaving:
                callers.setdefault(called, []).append(f"retire:{address.name}")
    for address in leaving:
        after = tuple(sorted(callers.get(address, ())))
        steps.append(PlannedStep(f"retire:{address.name}", Phase.FINISH, Retire(address), after))
    return steps
