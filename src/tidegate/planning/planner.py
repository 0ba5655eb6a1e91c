"""The planner: (current pins, wanted pins, what was observed, policy) → plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.digest import digest
from tidegate.model.encoding import plan_to_json
from tidegate.model.observed import Observed, ObservedGroup
from tidegate.model.pins import Pins
from tidegate.model.plan import Change, PinChange, Plan
from tidegate.model.step import Start
from tidegate.planning import guards
from tidegate.planning.changes import Scene, connected, differences, look, target_of
from tidegate.planning.steps import steps_of


@dataclass(frozen=True, slots=True)
class Policy:
    """What the environment says about its changes.

    `observe` in seconds (0: not at all); `max_errors` the tolerated share of answers 5xx, in 1/10,000;
    `allow_dirty`: releases of sources that are not committed may enter (the first environment).
    """

    observe: int = 0
    max_errors: int = 100
    allow_dirty: bool = True


def make_plan(
    *,
    environment: str,
    parent: int,
    number: int,
    current: Pins,
    wanted: Pins,
    observed: Observed,
    releases: Mapping[str, Release],
    policy: Policy,
    scope: Collection[str] | None = None,
) -> Plan:
    """What has to be done so that `observed` becomes `wanted`.

    `parent` is the head revision that `current` are the pins of; `number` the first free revision number.
    `releases` holds every release that either set pins, and those of the groups observed are not needed.
    With `scope` only these components are looked at, and all that differs in them is one change (undo, recovery).
    Raises `UnsafePlan`.
    """
    scene = look(current, wanted, observed, releases)
    why = differences(scene, scope)
    guards.check(scene, why, allow_dirty=policy.allow_dirty)
    parts = connected(scene, why) if scope is None else [tuple(sorted(why))] if why else []
    changes = tuple(_change(scene, part, why, number + place, policy) for place, part in enumerate(parts))
    plan = Plan(environment, parent, changes)
    return replace(plan, digest=digest("plan", plan_to_json(plan)))


def _change(
    scene: Scene, part: tuple[str, ...], why: Mapping[str, tuple[str, ...]], number: int, policy: Policy
) -> Change:
    names = {*part}
    for name in part:
        if pin := scene.wanted.get(name):
            names.update(scene.needs(pin))
    targets: dict[str, GroupAddress | None] = {name: target_of(scene, name, part, number) for name in names}
    steps = steps_of(scene, part, targets, observe=policy.observe, max_errors=policy.max_errors)
    pins = tuple(PinChange(name, scene.current.get(name), scene.wanted.get(name), why[name]) for name in part)
    extra, memory, unmeasured = _peak(scene, [planned.step for planned in steps if isinstance(planned.step, Start)])
    return Change(
        number=number,
        pins=pins,
        steps=steps,
        intent=_intent(scene.observed.environment, pins),
        peak_instances=extra,
        peak_memory=memory,
        unmeasured=unmeasured,
    )


def _intent(environment: str, pins: tuple[PinChange, ...], irreversible: tuple[str, ...] = ()) -> str:
    """What people approve: pins from → to and what cannot be undone; nothing about processes or numbers."""
    return digest(
        "intent",
        {
            "environment": environment,
            "pins": [
                [pin.component, pin.old.digest if pin.old else "", pin.new.digest if pin.new else ""] for pin in pins
            ],
            "irreversible": list(irreversible),
        },
    )


def _peak(scene: Scene, starts: list[Start]) -> tuple[int, int, int]:
    """(instances, bytes, instances of unknown size) that run beside what runs now until the change is finished."""
    instances = memory = unmeasured = 0
    for start in starts:
        running = scene.observed.groups.get(start.group)
        extra = start.pin.shape.replicas - (len(running.instances) if running else 0)
        if extra <= 0:
            continue
        instances += extra
        each = _memory_of_one(scene.groups.get(start.group.component, ()))
        memory += extra * each
        unmeasured += 0 if each else extra
    return instances, memory, unmeasured


def _memory_of_one(groups: tuple[ObservedGroup, ...]) -> int:
    sizes = [instance.memory for group in groups for instance in group.instances if instance.memory]
    return sum(sizes) // len(sizes) if sizes else 0
