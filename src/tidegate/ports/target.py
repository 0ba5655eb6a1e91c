"""Targets: where environments live. An optional ability is one more Protocol, not a flag."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.observed import Observed
from tidegate.model.pins import Resource
from tidegate.model.plan import Plan
from tidegate.model.step import Start, Step


@dataclass(frozen=True, slots=True)
class Epoch:
    """The number of a claim. Targets refuse a step whose number is lower than one seen for its components.

    `plan` and `holder` say for which plan, and which process, in case somebody else has to be told who was there.
    """

    environment: str
    number: int
    components: tuple[str, ...]
    plan: str = ""
    holder: str = ""


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


@dataclass(frozen=True, slots=True)
class Streams:
    """What a command is connected to. `stdin` gives bytes until its end (None: nothing), `size` columns and rows of a
    terminal if it is to have one, now and whenever it changes."""

    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    stdin: AsyncIterator[bytes] | None = None
    size: AsyncIterator[tuple[int, int]] | None = None


@runtime_checkable
class RunsInside(Protocol):
    """Instances are elsewhere: a command of a person runs inside one of them (`tidegate exec`)."""

    async def run_inside(self, group: GroupAddress, command: Sequence[str], streams: Streams) -> int:
        """Run it in the first healthy instance, and give its exit status. Raises `TargetError`."""
        ...


@runtime_checkable
class Preflights(Protocol):
    """Can tell before the first change what would stand in its way."""

    async def preflight(self, plan: Plan) -> None:
        """Raises `TargetError` that names all that is missing at once: permissions, versions, room. Changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Scenery:
    """What an environment consists of when nothing moves: `groups` as they are started, where `entries` lead to, and
    the `resources` that run there."""

    environment: str
    groups: tuple[Start, ...]
    entries: Mapping[str, GroupAddress]
    resources: Mapping[str, Resource]


@runtime_checkable
class Renders(Protocol):
    """Makes objects that people can read and other tools can apply."""

    async def render(self, scenery: Scenery) -> Sequence[Mapping[str, Any]]:
        """The exact objects, in the order in which they can be applied; values of secrets are in none of them.

        Raises `TargetError`, `ReleaseError`.
        """
        ...

    async def permissions(self, environment: str) -> Sequence[Mapping[str, Any]]:
        """The objects that give somebody the least that is needed to change this environment."""
        ...
