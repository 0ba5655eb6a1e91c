"""What the suites over targets are told in: programs that behave as asked, and the few moves of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release
from tidegate.model.observed import ObservedGroup
from tidegate.model.pins import Pin, Resource, Shape
from tidegate.model.step import EntryMove, Prepare, Replace, Route, Run, Start, Step
from tidegate.ports.target import Epoch, Outcome, Target


class Behaviour(StrEnum):
    """What the program of a release does."""

    GOOD = "good"
    EXITS = "exits"  # prints "cannot go on" and ends with 3 before it is healthy
    NEVER_HEALTHY = "never-healthy"  # runs, and its health check fails
    FAILS_VERIFY = "fails-verify"  # its `verify` command ends with 1
    BREAKS_UNDER_TRAFFIC = "breaks-under-traffic"  # healthy, and answers 500 to everything else


class Harness(Protocol):
    """What the suite needs of a driver's tests."""

    target: Target
    environment: str

    async def release(
        self,
        component: str,
        version: str,
        *,
        needs: tuple[str, ...] = (),
        behaviour: Behaviour = Behaviour.GOOD,
        kind: Kind = Kind.SERVICE,
        data: bool = False,
    ) -> Release:
        """A release that the target can run; GOOD services answer with their digest and those of what they need.

        Workers are healthy when they have run for a moment.
        """
        ...

    def resource(self, version: str = "1", *, data: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Resource:
        """One that the target can run, with the identity of its version; `behaviour` as for releases."""
        ...

    async def migration(self, version: str, *, retry: bool = False) -> Release:
        """A release of `backend` whose `before` is noted in `ran` as `migrate-VERSION`, its undo as `back-VERSION`."""
        ...

    async def ran(self) -> list[str]:
        """What was run to its end or its failure by the commands of migrations, in their order."""
        ...

    async def let_runs_fail(self, failing: bool) -> None:
        """From now on commands of migrations say "cannot go on" and fail, or do not any more."""
        ...

    async def interrupt(self, step: Run) -> None:
        """Under epoch 1, this run of a migration begins and is ended in the middle, so that nobody sees how."""
        ...

    async def given(self, component: str, resource: str) -> str:
        """The address of the resource that the instance behind the component's entry was started with."""
        ...

    async def write(self, owner: str, text: str) -> None:
        """Into the data of this component or resource."""
        ...

    async def read(self, owner: str) -> str | None:
        """What was written there; None if its data are not there at all."""
        ...

    async def answers(self, component: str) -> Mapping[str, str]:
        """What a user gets from the entry: component -> release digest, of all that took part in the answer."""
        ...

    def traffic(self, component: str) -> AbstractAsyncContextManager[None]:
        """While inside, the entry of this component gets requests all the time."""
        ...

    async def blind(self) -> None:
        """From now on the target cannot be seen."""
        ...


def pin(
    release: Release,
    *,
    replicas: int = 1,
    env: tuple[tuple[str, str], ...] = (),
    resources: tuple[tuple[str, Resource], ...] = (),
) -> Pin:
    """A pin of a release without settings."""
    return Pin(release.digest, "", Shape(replicas=replicas, env=env, resources=resources))


class Stage:
    """A harness with the few moves that the tests are told in."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.target = harness.target
        self.environment = harness.environment
        self.epoch = 1

    def group(self, component: str, born: int) -> GroupAddress:
        """An address in this environment."""
        return GroupAddress(self.environment, component, born)

    async def run(self, step: Step, *components: str, epoch: int | None = None) -> Outcome:
        """Run under the current epoch."""
        names = components or ("backend", "frontend")
        return await self.target.run(step, Epoch(self.environment, epoch or self.epoch, names))

    async def start(
        self,
        release: Release,
        born: int,
        *,
        replicas: int = 1,
        edges: Mapping[str, GroupAddress] | None = None,
        resources: Mapping[str, Resource] | None = None,
    ) -> GroupAddress:
        """Prepare and start a group."""
        group = self.group(release.component, born)
        await self.run(Prepare(release.component, release.digest))
        wanted = pin(release, replicas=replicas, resources=tuple((resources or {}).items()))
        await self.run(Start(group, wanted, tuple((edges or {}).items())))
        return group

    async def replace(self, release: Release, born: int, *stops: GroupAddress) -> GroupAddress:
        """Prepare a group and start it in the place of others."""
        group = self.group(release.component, born)
        await self.run(Prepare(release.component, release.digest))
        await self.run(Replace(group, pin(release), stops=stops))
        return group

    async def enter(self, *groups: GroupAddress) -> None:
        """Point the entries of the components at these groups, at once."""
        await self.run(Route(entries=tuple(EntryMove(group.component, group) for group in groups)))

    async def seen(self, group: GroupAddress) -> ObservedGroup | None:
        """What is observed of a group."""
        return (await self.target.observe(self.environment)).groups.get(group)
