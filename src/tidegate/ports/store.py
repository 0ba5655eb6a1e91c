"""The store: environments, claims, revisions, releases, plans and the journal. The store alone says which revision
is current."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidegate.model.component import Artifact, Release
from tidegate.model.pins import Pin, Revision
from tidegate.model.plan import Change, Plan


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right to change some components. `epoch` grows with every claim in the environment.

    `number` is the reserved revision number. `lease` is when the right to execute it expires, in seconds since
    the epoch, by the store's clock; `at` when the change was claimed first. `neighbours` may be used but not changed by
    others. `recovering`: its holder took it over from somebody who vanished. `unsettled` says why the change could
    neither be finished nor be undone ("" while there is hope); then only recovery may go on with it.
    """

    environment: str
    components: tuple[str, ...]
    number: int
    epoch: int
    plan: str
    holder: str
    lease: float
    neighbours: tuple[str, ...] = ()
    at: float = 0.0
    recovering: bool = False
    unsettled: str = ""

    def in_the_way_of(self, change: Change) -> list[str]:
        """The components that keep a change from being made beside this one, sorted: two may look at a component, but
        not while one of them changes it."""
        changed = set(change.components).intersection(self.components + self.neighbours)
        return sorted(changed.union(set(change.neighbours).intersection(self.components)))


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """`head` is the current revision (0: none yet), `next_number` the next one to be reserved, `place` where it lives
    ("" while nothing of it does)."""

    name: str
    head: int
    next_number: int
    claims: tuple[Claim, ...] = ()
    place: str = ""

    @property
    def held(self) -> frozenset[str]:
        """The components that somebody is changing."""
        return frozenset(name for claim in self.claims for name in claim.components)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only journal. `seq` and `at` are given by the store.

    `kind` is a word such as `step-begun`, `step-done`, `step-failed`, `claimed`, `committed`, `undone`,
    `finished`; `subject` what it is about (a step id, a component); `body` plain JSON.
    """

    environment: str
    kind: str
    actor: str = ""
    plan: str = ""
    step: str = ""
    epoch: int = 0
    subject: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    at: float = 0.0


class Store(Protocol):
    """Every method is one transaction. Raises `StoreError` when the store cannot be used."""

    async def identity(self) -> str:
        """Names this store among all stores, for ever: places that two could change tell them apart by it."""
        ...

    async def environments(self) -> Sequence[EnvironmentRecord]:
        """All environments that ever had a claim, sorted by name."""
        ...

    async def environment(self, name: str) -> EnvironmentRecord:
        """One environment; a record with head 0 for one that was never changed."""
        ...

    async def revision(self, environment: str, number: int) -> Revision:
        """Raises `NotInStore`."""
        ...

    async def history(self, environment: str, *, limit: int = 50) -> Sequence[Revision]:
        """From the head along the parents, newest first."""
        ...

    async def put_release(self, release: Release) -> Release:
        """First writer wins: returns what the store holds for this digest.

        A dirty release is replaced by a clean one of the same digest.
        """
        ...

    async def release(self, digest: str) -> Release:
        """Raises `NotInStore`."""
        ...

    async def releases_named(self, digests: Collection[str]) -> Mapping[str, Release]:
        """Digest -> release, in one query. Raises `NotInStore` if one is missing."""
        ...

    async def releases(self, component: str | None = None) -> Sequence[Release]:
        """Newest first."""
        ...

    async def put_artifact(self, artifact: Artifact) -> Artifact:
        """First writer wins per (release, format, platform)."""
        ...

    async def artifacts(self, release: str) -> Sequence[Artifact]:
        """All artifacts of a release."""
        ...

    async def forget_artifact(self, artifact: Artifact) -> None:
        """The bytes are gone (pruned or damaged); the release stays."""
        ...

    async def put_blob(self, kind: str, content: bytes) -> str:
        """Keep bytes under `digest_bytes(kind, content)`, which is returned."""
        ...

    async def blob(self, digest: str) -> bytes:
        """Raises `NotInStore`."""
        ...

    async def put_plan(self, plan: Plan) -> None:
        """Keep a plan under its digest; again is harmless."""
        ...

    async def plan(self, digest: str) -> Plan:
        """Raises `NotInStore`."""
        ...

    async def claim(self, plan: Plan, *, holder: str, lease: float, place: str = "") -> Sequence[Claim]:
        """Claim every change of the plan, all or none, for `lease` seconds.

        Two claims exclude each other when one changes a component that the other changes or has for a neighbour.
        Raises `StalePlan` if a revision since `plan.parent` touched a component of the plan or a neighbour, or a
        number of it is taken, `ClaimRefused` if somebody holds one of the components (also when the lease ran out: that
        claim is to be recovered first) or the environment lives at another place.
        """
        ...

    async def take_over(self, claim: Claim, *, holder: str, lease: float, vanished: bool = False) -> Claim:
        """Replace an expired claim by one with a younger epoch, the same number and plan.

        Raises `ClaimRefused` while its lease lasts, unless it is unsettled or the caller knows that its holder has
        `vanished`; also if somebody else took it over in the meantime. The younger claim is `recovering` and no
        longer unsettled.
        """
        ...

    async def unsettle(self, claim: Claim, why: str) -> Claim:
        """Mark the claim as unsettled and end its lease. Raises `ClaimLost`."""
        ...

    async def renew(self, claim: Claim, *, lease: float) -> Claim:
        """Raises `ClaimLost`."""
        ...

    async def reserve_numbers(self, environment: str, count: int) -> int:
        """The first of `count` fresh numbers for a plan, so that nobody who plans at the same moment gets them. Of an
        environment that was never changed nothing is reserved: the first is 1."""
        ...

    async def reserve(self, claim: Claim) -> int:
        """A fresh number for a group that has to be born during undo. Raises `ClaimLost`."""
        ...

    async def commit(
        self, claim: Claim, pins: Mapping[str, Pin | None], *, by: str, why: str, number: int | None = None
    ) -> Revision:
        """Make revision `claim.number` on top of the head: its pins with these replaced (None: removed).

        With `number`, make that one, which `reserve` gave. One transaction; journals `committed`. The claim stays
        until `release_claim`. Raises `ClaimLost`.
        """
        ...

    async def release_claim(self, claim: Claim) -> None:
        """Give the claim back; harmless when it is gone. With the last claim of an environment that has no pins, the
        environment lives nowhere."""
        ...

    async def append(self, event: Event) -> None:
        """Add to the journal."""
        ...

    async def events(
        self,
        *,
        environment: str | None = None,
        plan: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Event]:
        """The last `limit` events that fit, oldest first."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
