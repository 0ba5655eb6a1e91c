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

    def __sub__(self, other: Room) -> Room:
        return Room(self.instances - other.instances, self.memory - other.memory, self.unmeasured - other.unmeasured)


@dataclass(frozen=True, slots=True)
class Need:
    """What starting something takes beside what runs: `extra` at the worst moment, of which `passing` is given back
    once the old instances are gone. The rest has come to stay."""

    extra: Room = Room()
    passing: Room = Room()


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may run twice, old beside new; None: as much as is needed. `memory` in bytes."""

    instances: int | None = None
    memory: int | None = None

    def holds(self, room: Room) -> bool:
        """Whether there is so much room."""
        return (self.instances is None or room.instances <= self.instances) and (
            self.memory is None or room.memory <= self.memory
        )


def need_of(scene: Scene, name: str, *, stopped: bool) -> Need:
    """What starting a component takes; `stopped`: its other groups stop first."""
    chosen = scene.chosen.get(name)
    extra = scene.wanted[name].shape.replicas - (len(chosen.instances) if chosen else 0)
    others = sum(len(group.instances) for group in scene.others(name))
    extra = max(0, extra - (others if stopped else 0))
    passing = 0 if chosen or stopped else min(extra, others)
    each = _memory_of_one(scene.groups.get(name, ()))
    return Need(Room(extra, extra * each, 0 if each else extra), Room(passing, passing * each, 0 if each else passing))


def waves(scene: Scene, needs: Mapping[str, Need], limit: Limit, *, firm: bool) -> dict[str, int]:
    """Starting component -> its wave. A component never comes in an earlier wave than one that it needs.

    Raises `UnsafePlan` if one component alone is too large; not `firm`, it goes alone.
    """
    if limit.instances is None and limit.memory is None:
        return dict.fromkeys(needs, 0)
    for name, need in needs.items():
        if firm and not limit.holds(need.passing):
            raise UnsafePlan(
                f"cannot start {name} beside what runs",
                f"It runs twice for a while, which takes {_in_words(need.passing)}; max_extra of "
                f"{scene.observed.environment} allows {_allowed(limit)}.",
                hint="Allow more, or let the old stop first: `overlap: false` in its manifest.",
            )
    found: dict[str, int] = {}
    taken: list[Room] = []
    for name in _called_first(scene, needs):
        wave = max((found[need] for need in scene.needs(scene.wanted[name]) if need in found), default=0)
        while wave < len(taken) and taken[wave].instances and not limit.holds(taken[wave] + needs[name].passing):
            wave += 1
        taken += [Room()] * (wave + 1 - len(taken))
        taken[wave] += needs[name].passing
        found[name] = wave
    return found


def together(needs: Iterable[Need]) -> Need:
    """What several take that start side by side."""
    extra = passing = Room()
    for need in needs:
        extra, passing = extra + need.extra, passing + need.passing
    return Need(extra, passing)


def in_turn(needs: Iterable[Need]) -> Need:
    """What several take that start one after the other, each when the old of the one before are gone."""
    grown = worst = passing = Room()
    for need in needs:
        worst = max(worst, grown + need.extra, key=_size)
        passing = max(passing, need.passing, key=_size)
        grown += need.extra - need.passing
    return Need(worst, passing)


def turns(needs: Sequence[Need], limit: Limit) -> list[int]:
    """For changes that take so much each: after how many others each has its turn."""
    found, turn, taken = [], 0, Room()
    for need in needs:
        if taken.instances and not limit.holds(taken + need.passing):
            turn, taken = turn + 1, Room()
        taken += need.passing
        found.append(turn)
    return found


def _size(room: Room) -> tuple[int, int]:
    return room.memory, room.instances


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


def _allowed(limit: Limit) -> str:
    said = [_in_words(Room(limit.instances))] if limit.instances is not None else []
    return " and ".join([*said, *([f"{limit.memory / 2**20:.0f} MB"] if limit.memory is not None else [])])


def _in_words(room: Room) -> str:
    memory = f" and {room.memory / 2**20:.0f} MB" if room.memory else ""
    return f"{room.instances} instance{'' if room.instances == 1 else 's'}{memory}"
