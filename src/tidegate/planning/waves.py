"""How a change that needs more room than there is goes in several waves, the called before their callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.errors import UnsafePlan
from tidegate.model.observed import ObservedGroup
from tidegate.planning.scene import Scene


@dataclass(frozen=True, slots=True)
class Room:
    """Instances, their memory in bytes as far as it is known, and how many instances are of unknown size."""

    instances: int = 0
    memory: int = 0
    unmeasured: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.instances + other.instances, self.memory + other.memory, self.unmeasured + other.unmeasured)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may run beside what runs already; None: as much as is needed. `memory` in bytes."""

    instances: int | None = None
    memory: int | None = None

    def holds(self, room: Room) -> bool:
        """Whether there is so much room."""
        return (self.instances is None or room.instances <= self.instances) and (
            self.memory is None or room.memory <= self.memory
        )


def room_of(scene: Scene, name: str, *, stopped: bool) -> Room:
    """What starting a component needs beside what runs; `stopped`: its other groups stop first."""
    replicas = scene.wanted[name].shape.replicas
    chosen = scene.chosen.get(name)
    extra = replicas - (len(chosen.instances) if chosen else 0)
    if stopped:
        extra -= sum(len(group.instances) for group in scene.others(name))
    extra = max(0, extra)
    each = _memory_of_one(scene.groups.get(name, ()))
    return Room(extra, extra * each, 0 if each else extra)


def waves(scene: Scene, needs: Mapping[str, Room], limit: Limit) -> dict[str, int]:
    """Starting component -> its wave. A component never comes in an earlier wave than one that it needs.

    Raises `UnsafePlan` if one component alone is too large.
    """
    if limit.instances is None and limit.memory is None:
        return dict.fromkeys(needs, 0)
    for name, room in needs.items():
        if not limit.holds(room):
            raise UnsafePlan(
                f"cannot start {name} beside what runs",
                f"It takes {_in_words(room)} more; max_extra of {scene.observed.environment} allows "
                f"{_in_words(Room(limit.instances or 0, limit.memory or 0))}.",
                hint="Allow more, or let it stop first: `overlap: false` in its manifest.",
            )
    found: dict[str, int] = {}
    taken: list[Room] = []
    for name in _called_first(scene, needs):
        wave = max((found[need] for need in scene.needs(scene.wanted[name]) if need in found), default=0)
        while wave < len(taken) and not limit.holds(taken[wave] + needs[name]):
            wave += 1
        taken += [Room()] * (wave + 1 - len(taken))
        taken[wave] += needs[name]
        found[name] = wave
    return found


def turns(rooms: Sequence[Room], limit: Limit) -> list[int]:
    """For changes that need so much room each: after how many others each has its turn."""
    found, turn, taken = [], 0, Room()
    for room in rooms:
        if not limit.holds(taken + room) and taken.instances:
            turn, taken = turn + 1, Room()
        taken += room
        found.append(turn)
    return found


def _called_first(scene: Scene, names: Iterable[str]) -> list[str]:
    """By the length of the longest way down the needs among `names`, then by name."""
    among = set(names)
    depth: dict[str, int] = {}
    waiting = sorted(among)
    while waiting:
        name = waiting[-1]
        needs = [need for need in scene.needs(scene.wanted[name]) if need in among]
        missing = [need for need in needs if need not in depth]
        if missing:
            waiting += missing
        else:
            depth[name] = 1 + max((depth[need] for need in needs), default=0)
            waiting.pop()
    return sorted(depth, key=lambda name: (depth[name], name))


def _memory_of_one(groups: Sequence[ObservedGroup]) -> int:
    sizes = [instance.memory for group in groups for instance in group.instances if instance.memory]
    return sum(sizes) // len(sizes) if sizes else 0


def _in_words(room: Room) -> str:
    memory = f" and {room.memory / 2**20:.0f} MB" if room.memory else ""
    return f"{room.instances} instance{'' if room.instances == 1 else 's'}{memory}"
