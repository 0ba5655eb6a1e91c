"""What execution reports while it works, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tidegate.errors import TidegateError
from tidegate.model.pins import Revision
from tidegate.model.plan import Change, Plan, PlannedStep
from tidegate.ports.target import Outcome


class Stage(StrEnum):
    """Where a change is."""

    CLAIMED = "claimed"
    PREPARING = "preparing"
    SWITCHING = "switching"
    COMMITTED = "committed"
    FINISHING = "finishing"
    UNDOING = "undoing"
    DONE = "done"


class Moment(StrEnum):
    """What happened to a step; `STAGE` is about the change as a whole."""

    STAGE = "stage"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened. `step` is None for moments of a whole change."""

    environment: str
    change: Change
    stage: Stage
    moment: Moment
    step: PlannedStep | None = None
    outcome: Outcome | None = None
    error: TidegateError | None = None


Reporter = Callable[[Progress], None]


class Fate(StrEnum):
    """How a change ended."""

    COMMITTED = "committed"
    UNDONE = "undone"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """`failure` is why a change was undone; `put_back` the steps that undid it; `unfinished` what was left to
    finish (the next command completes it); `candidates` the addresses of new groups while they were unseen."""

    change: Change
    fate: Fate
    revision: Revision | None = None
    failure: TidegateError | None = None
    put_back: tuple[PlannedStep, ...] = ()
    unfinished: TidegateError | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a plan, in the order of its changes."""

    plan: Plan
    changes: tuple[ChangeResult, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every change was committed."""
        return all(result.fate is Fate.COMMITTED for result in self.changes)
