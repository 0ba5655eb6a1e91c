"""The planner: (current pins, wanted pins, what was observed, policy) → plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.errors import UnsafePlan
from tidegate.model.address import GroupAddress
from tidegate.model.component import Release, RunKind
from tidegate.model.digest import digest
from tidegate.model.encoding import sealed
from tidegate.model.observed import Observed
from tidegate.model.pins import Pins
from tidegate.model.plan import Change, PinChange, Plan, PlannedStep
from tidegate.model.step import Provide, Replace
from tidegate.planning import guards
from tidegate.planning.changes import connected, differences, wired
from tidegate.planning.runs import is_due
from tidegate.planning.scene import Scene, look, target_of
from tidegate.planning.steps import Part, replaces, starts, steps_of
from tidegate.planning.waves import Limit, Need, in_turn, need_of, together, turns, waves


@dataclass(frozen=True, slots=True)
class Policy:
    """What the environment says about its changes.

    `observe` in seconds (0: not at all); `max_errors` the tolerated share of answers 5xx, in 1/10,000;
    `allow_dirty`: releases of sources that are not committed may enter (the first environment). `max_extra`: how much
    may run twice, old beside new; `firm`: what alone is too large for that is refused (otherwise it goes alone).
    `withdraw`: resources that nothing uses any more are stopped.
    """

    observe: int = 0
    max_errors: int = 100
    allow_dirty: bool = True
    max_extra: Limit = field(default_factory=Limit)
    firm: bool = True
    withdraw: bool = True


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
    as_one: bool = False,
    held: Collection[str] = (),
    taken_back: Collection[str] = (),
) -> Plan:
    """What has to be done so that `observed` becomes `wanted`.

    `parent` is the head revision that `current` are the pins of; `number` the first free revision number.
    `releases` holds every release that either set of pins names, and those of the groups observed are not needed.
    With `scope` only these components are looked at; with `as_one` all that differs is one change (undo, recovery).
    `held` are components that somebody else is changing: what is observed of them does not count. `taken_back` are
    releases (known in `releases`) whose `before` has run for a change that is being undone.
    Raises `UnsafePlan`; `RunInterrupted` where somebody has to say first what became of a run.
    """
    scene = look(current, wanted, observed, releases, taken_back)
    why = differences(scene, scope, held)
    guards.check(scene, why, allow_dirty=policy.allow_dirty)
    parts = [tuple(sorted(why))] * bool(why) if as_one else connected(scene, why)
    wires = wired(scene, why)

    changes, needs = [], []
    for place, part in enumerate(parts):
        of_part = {name: why[name] for name in part}
        change, need = _change(scene, of_part, number + place, policy, _neighbours(part, wires))
        changes.append(change)
        needs.append(need)
    taking = turns(needs, policy.max_extra)
    _check_memory(observed, needs, taking)
    if any(taking):
        changes = [replace(change, turn=turn) for change, turn in zip(changes, taking, strict=True)]
    return sealed(Plan(environment, parent, tuple(changes)))


def _change(
    scene: Scene, why: Mapping[str, tuple[str, ...]], number: int, policy: Policy, neighbours: tuple[str, ...]
) -> tuple[Change, Need]:
    names = tuple(why)
    around = {*names}
    for name in names:
        if pin := scene.wanted.get(name):
            around.update(scene.needs(pin))
    targets: dict[str, GroupAddress | None] = {name: target_of(scene, name, names, number) for name in around}
    starting = {name: group for name in names if (group := targets[name]) and starts(scene, name)}
    replaced = frozenset(name for name in starting if replaces(scene, name))
    needs = {name: need_of(scene, name, stopped=name in replaced) for name in starting}
    coming = waves(scene, needs, policy.max_extra, firm=policy.firm)
    part = Part(names, targets, starting, replaced, coming, last=max(coming.values(), default=0))
    steps = steps_of(scene, part, observe=policy.observe, max_errors=policy.max_errors, withdraw=policy.withdraw)
    pins = tuple(PinChange(name, scene.current.get(name), scene.wanted.get(name), why[name]) for name in names)
    need = in_turn(together(needs[n] for n in needs if coming[n] == wave) for wave in range(part.last + 1))
    irreversible = _irreversible(scene, names)
    change = Change(
        number=number,
        pins=pins,
        steps=steps,
        intent=_intent(scene.observed.environment, pins, irreversible),
        peak_instances=need.extra.instances,
        peak_memory=need.extra.memory,
        unmeasured=need.extra.unmeasured,
        irreversible=irreversible,
        neighbours=neighbours,
        interrupts=_interrupts(scene, steps),
    )
    return change, need


def _neighbours(names: tuple[str, ...], wires: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Components outside of a change that are wired to some inside, sorted."""
    return tuple(sorted(set().union(*(wires[name] for name in names)).difference(names)))


def _intent(environment: str, pins: tuple[PinChange, ...], irreversible: tuple[str, ...]) -> str:
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


def _irreversible(scene: Scene, names: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for name in names:
        for what in (RunKind.BEFORE, RunKind.AFTER):
            if is_due(scene, name, what):
                hook = scene.releases[scene.wanted[name].release].runtime.hook(what)
                if hook is not None and hook.undo is None:
                    found.append(f"`{what.value}` of {name}: {hook.run}")
    return tuple(found)


def _interrupts(scene: Scene, steps: Sequence[PlannedStep]) -> tuple[str, ...]:
    """Components, and resources, that stop before their successor starts."""
    stopped = {step.step.group.component for step in steps if isinstance(step.step, Replace) and step.step.stops}
    provided = {step.step.resource for step in steps if isinstance(step.step, Provide)}
    return (*sorted(stopped), *sorted(provided & scene.observed.resources.keys()))


def _check_memory(observed: Observed, needs: Sequence[Need], taking: Sequence[int]) -> None:
    if not observed.memory_free:
        return
    memory = in_turn(
        together(need for need, other in zip(needs, taking, strict=True) if other == turn) for turn in sorted({*taking})
    ).extra.memory
    if memory > observed.memory_free:
        raise UnsafePlan(
            f"cannot start all of this beside what runs in {observed.environment}",
            f"It takes about {memory / 2**20:.0f} MB more for a while; there are "
            f"{observed.memory_free / 2**20:.0f} MB left.",
            hint=f"Let it go in waves: max_extra: {{memory: {max(1, observed.memory_free // 2**21)}M}} in the "
            "environment; or release fewer at once with --only.",
        )
