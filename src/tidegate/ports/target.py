"""Targets: where environments live. An optional ability is one more Protocol, not a flag."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.observed import Observed
from tidegate.model.step import Step


@dataclass(frozen=True, slots=True)
class Epoch:
    """The number of a claim. Targets refuse a step whose number is lower than one seen for its components."""

    environment: str
    number: int
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step left behind that people want to see: `urls`, candidate addresses by group name."""

    urls: Mapping[str, str] = field(default_factory=dict)


class Target(Protocol):
    """One semantics for every place where environments live. The conformance suite is `tidegate.testing`.

    `place` names it, so that nobody changes an environment at one place while it lives at another.
    """

    @property
    def place(self) -> str:
        """Where environments of this target live, such as `local:HOST:FOLDER`."""
        ...

    async def observe(self, environment: str) -> Observed:
        """What is there now. Raises `TargetUnreachable` when it cannot see; never reports absence instead."""
        ...

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """Make what the step states true. Running it twice is harmless.

        Raises `OldEpoch` when a younger epoch was seen, `StepFailed` when the statement cannot be made true.
        Cancelling leaves a state that `observe` reports truthfully.
        """
        ...

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """Give back everything kept for an environment that has no groups left (ports, listeners, folders).

        With `data`, what outlives a plain `down` is destroyed as well: data folders, and what is known of runs.
        """
        ...

    async def close(self) -> None:
        """Close connections; what runs keeps running."""
        ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one instance, without its line ending."""

    component: str
    instance: str
    text: str


@runtime_checkable
class FollowsLogs(Protocol):
    """Can show what instances and resources print."""

    def logs(
        self,
        environment: str,
        groups: Sequence[GroupAddress],
        *,
        tail: int,
        follow: bool,
        resources: Sequence[str] = (),
    ) -> AsyncIterator[LogLine]:
        """The last `tail` lines of each instance and resource, oldest first, then new ones as they come if `follow`."""
        ...


@runtime_checkable
class DescribesInstances(Protocol):
    """Can say how a process of a group is set up, so that a command can run the same way (`tidegate exec`)."""

    async def surroundings(self, group: GroupAddress) -> Surroundings:
        """Folder and environment variables that an instance of this group gets; secrets resolved."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and with what a command of a group runs."""

    folder: str
    env: Mapping[str, str] = field(repr=False)


@runtime_checkable
class Attends(Protocol):
    """Notices when an executor vanishes, and then has recovery started."""

    def attending(self, environment: str) -> AbstractAsyncContextManager[None]:
        """While inside, this process changes the environment; if it ends without leaving, that is noticed.

        Never raises: a target that cannot watch now leaves recovery to the next command.
        """
        ...


@runtime_checkable
class KeepsOutput(Protocol):
    """Keeps what runs print."""

    def output(self, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
        """The lines that a run printed, oldest first; with `follow` until it has ended, also if it has yet to begin."""
        ...
