"""Plans: frozen, serialised, hashed. Apply makes no choices beyond what stands here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.model.pins import Pin
from tidegate.model.step import Step


class Phase(StrEnum):
    """The phases of apply that hold steps; `switch` starts when all of `prepare` is done, `finish` after commit."""

    PREPARE = "prepare"
    SWITCH = "switch"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and the ids of the steps of the same phase that have to be done before it.

    A change that would need more room than there is goes in several waves; each goes through all phases before the
    next begins, and the commit comes before the last `finish`.
    """

    id: str
    phase: Phase
    step: Step
    after: tuple[str, ...] = ()
    wave: int = 0


@dataclass(frozen=True, slots=True)
class PinChange:
    """One component: `old` None means it comes, `new` None that it goes; equal ones mean the target drifted.

    `why` says in words what differs, as people want to read it.
    """

    component: str
    old: Pin | None
    new: Pin | None
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Components that are connected by needs: planned, gated, applied and undone by itself.

    `number` is reserved for the revision that its commit makes. `peak_instances` is how many instances run
    beyond what ran before, at the worst moment, `peak_memory` their memory in bytes as far as it is known from
    running ones (`unmeasured` instances are not counted in it). `irreversible` says in words what cannot be undone.
    `neighbours` are components that stay and are wired to some of these: nobody else may change them meanwhile.
    `interrupts` are those that nobody serves for a while. `turn`: it begins when all changes with a lower one ended.
    """

    number: int
    pins: tuple[PinChange, ...]
    steps: tuple[PlannedStep, ...]
    intent: str
    peak_instances: int = 0
    peak_memory: int = 0
    unmeasured: int = 0
    irreversible: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    interrupts: tuple[str, ...] = ()
    turn: int = 0

    @property
    def waves(self) -> int:
        """In how many waves it goes."""
        return max((planned.wave for planned in self.steps), default=0) + 1

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components, sorted."""
        return tuple(pin.component for pin in self.pins)

    @property
    def repins(self) -> bool:
        """Whether any pin differs, so that there is something to commit."""
        return any(pin.old != pin.new for pin in self.pins)


@dataclass(frozen=True, slots=True)
class Plan:
    """`parent` is the revision it starts from (0: none)."""

    environment: str
    parent: int
    changes: tuple[Change, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes
