"""Steps: what a target is asked to do. Each states what shall be, so repeating one is harmless and undoing one
needs no method of its own."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model.address import EdgeAddress, GroupAddress, RunAddress
from tidegate.model.observed import RunState
from tidegate.model.pins import Pin, Resource


@dataclass(frozen=True, slots=True)
class Prepare:
    """The artifact of this release is in place and whole."""

    component: str
    release: str


@dataclass(frozen=True, slots=True)
class Start:
    """The group has `pin.shape.replicas` healthy instances.

    A group that is born here has its edges pointing at `edges` (need -> group) before its first instance starts.
    """

    group: GroupAddress
    pin: Pin
    edges: tuple[tuple[str, GroupAddress | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Replace:
    """No instance of the groups `stops` runs any more, and then the group has `pin.shape.replicas` healthy instances.

    The groups stay, without instances, until they are retired; to start one of them again undoes this. Otherwise as
    `Start`.
    """

    group: GroupAddress
    pin: Pin
    edges: tuple[tuple[str, GroupAddress | None], ...] = ()
    stops: tuple[GroupAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Provide:
    """The resource runs as `spec` says and is healthy; one that runs otherwise is stopped first."""

    resource: str
    spec: Resource


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The resource does not run. Its data stay."""

    resource: str


@dataclass(frozen=True, slots=True)
class Run:
    """The command of the run has ended with 0. Harmless when it did so before; waits for it while it runs.

    It goes on to its end also when nobody waits for it any more. One that was ended in the middle runs again only
    where its hook says `retry`. It sees entries and resources as users of the environment do.
    """

    run: RunAddress
    pin: Pin


@dataclass(frozen=True, slots=True)
class Revert:
    """What the run did was taken back by its `undo` command, and nothing is known of it any more.

    `pin` is what the run ran with. A run that is still running is waited for first.
    """

    run: RunAddress
    pin: Pin


@dataclass(frozen=True, slots=True)
class Assume:
    """A person said what became of a run that nobody saw end. `state` None: it never was."""

    run: RunAddress
    state: RunState | None


@dataclass(frozen=True, slots=True)
class Verify:
    """The command of the component ended with 0 against the candidate, unseen by users."""

    group: GroupAddress
    release: str


@dataclass(frozen=True, slots=True)
class EntryMove:
    """The entry of a component leads to a group; None: it leads nowhere and is removed."""

    component: str
    to: GroupAddress | None


@dataclass(frozen=True, slots=True)
class EdgeMove:
    """The edge of a group that stays leads to another group."""

    edge: EdgeAddress
    to: GroupAddress | None


@dataclass(frozen=True, slots=True)
class Route:
    """All moves of one change, at once."""

    entries: tuple[EntryMove, ...] = ()
    edges: tuple[EdgeMove, ...] = ()


@dataclass(frozen=True, slots=True)
class Observe:
    """For `seconds` no instance of `groups` restarts or fails its check, and answers 5xx stay at or below
    `max_errors` (share of all answers, in 1/10,000) at each of the entries and edges."""

    groups: tuple[GroupAddress, ...]
    entries: tuple[str, ...]
    edges: tuple[EdgeAddress, ...]
    seconds: int
    max_errors: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The group has this many instances; used to take away, never to add."""

    group: GroupAddress
    replicas: int


@dataclass(frozen=True, slots=True)
class Retire:
    """The group is gone: drained, stopped, its edges and ports given back."""

    group: GroupAddress


Step = (
    Prepare | Provide | Run | Start | Verify | Replace | Route | Observe | Scale | Retire | Withdraw | Revert | Assume
)
