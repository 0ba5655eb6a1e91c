"""A target in memory that keeps every promise of a real one: time is injected, failures are scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

import anyio.lowlevel

from tidegate.errors import OldEpoch, StepFailed, TargetUnreachable, TidegateError
from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance
from tidegate.model.step import Observe, Prepare, Retire, Route, Scale, Start, Step, Verify
from tidegate.ports.clock import Clock
from tidegate.ports.target import Epoch, Outcome

Fault = Callable[[Step], TidegateError | None]
Duration = Callable[[Step], float]


@dataclass
class SimulatedTarget:
    """`releases` are those it can run; `fault` may fail a step, after `duration` seconds of it have passed.

    `unreachable` makes it blind. `seen` lists the steps that were begun, in order. Groups of releases named in
    `broken` answer 5xx: `Observe` fails when one is watched.
    """

    releases: Mapping[str, Release]
    clock: Clock | None = None
    duration: Duration = field(default=lambda _: 0.0)
    fault: Fault = field(default=lambda _: None)
    broken: set[str] = field(default_factory=set)
    unreachable: bool = False
    groups: dict[GroupAddress, ObservedGroup] = field(default_factory=dict)
    entries: dict[tuple[str, str], GroupAddress] = field(default_factory=dict)
    epochs: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: list[Step] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def observe(self, environment: str) -> Observed:
        """As `Target.observe`."""
        if self.unreachable:
            raise TargetUnreachable(f"cannot see {environment}", "The simulation is unreachable.")
        return self.look(environment)

    def look(self, environment: str) -> Observed:
        """What `observe` would see."""
        return Observed(
            environment,
            {address: group for address, group in self.groups.items() if address.environment == environment},
            {component: group for (where, component), group in self.entries.items() if where == environment},
            {
                component: f"simulated://{where}/{component}"
                for where, component in self.entries
                if where == environment
            },
        )

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """As `Target.run`."""
        for component in epoch.components:
            key = (epoch.environment, component)
            if self.epochs.get(key, 0) > epoch.number:
                raise OldEpoch(
                    "cannot act under an old claim", f"Epoch {self.epochs[key]} was seen.", component=component
                )
            self.epochs[key] = epoch.number
        self.seen.append(step)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._wait(self.duration(step))
            if failure := self.fault(step):
                raise failure
            return self.take(step, epoch.environment)
        finally:
            self.running -= 1

    async def forget(self, environment: str) -> None:
        """As `Target.forget`."""
        self.epochs = {key: number for key, number in self.epochs.items() if key[0] != environment}

    async def close(self) -> None:
        """As `Target.close`."""

    def crash(self, group: GroupAddress, *instances: int) -> None:
        """Let some instances of a group be dead."""
        self.groups[group] = replace(
            self.groups[group],
            instances=tuple(
                replace(instance, state=InstanceState.STOPPED) if instance.index in instances else instance
                for instance in self.groups[group].instances
            ),
        )

    def answers(self, environment: str, component: str) -> dict[str, str]:
        """Which release answers for each component when a user asks this entry: along the edges, in turn.

        Raises KeyError where an entry or an edge leads nowhere.
        """
        found: dict[str, str] = {}
        waiting = [self.entries[environment, component]]
        while waiting:
            group = self.groups[waiting.pop()]
            found[group.address.component] = group.release
            waiting += [self.groups[to].address for to in group.edges.values() if to]
        return found

    async def _wait(self, seconds: float) -> None:
        if self.clock is not None and seconds:
            await self.clock.sleep(seconds)
        else:
            await anyio.lowlevel.checkpoint()

    def take(self, step: Step, environment: str) -> Outcome:
        """The effect of a step, at once and without epoch."""
        match step:
            case Prepare():
                if step.release not in self.releases:
                    raise StepFailed(f"cannot prepare {step.component}", "No such artifact.", component=step.component)
            case Start():
                return self._start(step)
            case Verify():
                pass
            case Route():
                self._route(step, environment)
            case Observe():
                self._watch(step)
            case Scale():
                group = self.groups[step.group]
                self.groups[step.group] = replace(
                    group, replicas=step.replicas, instances=group.instances[: step.replicas]
                )
            case Retire():
                self.groups.pop(step.group, None)
            case _:
                assert_never(step)
        return Outcome()

    def _start(self, step: Start) -> Outcome:
        old = self.groups.get(step.group)
        edges = old.edges if old else dict(step.edges)
        replicas = max(step.pin.shape.replicas, old.replicas if old else 0)
        instances = tuple(ObservedInstance(index, InstanceState.HEALTHY) for index in range(1, replicas + 1))
        self.groups[step.group] = ObservedGroup(
            step.group, step.pin.identity, step.pin.release, replicas, instances, edges
        )
        return Outcome({} if old else {step.group.name: f"simulated://{step.group}"})

    def _route(self, step: Route, environment: str) -> None:
        for entry in step.entries:
            if entry.to is None:
                self.entries.pop((environment, entry.component), None)
            else:
                self.entries[environment, entry.component] = self.groups[entry.to].address
        for move in step.edges:
            group = self.groups[move.edge.group]
            self.groups[move.edge.group] = replace(group, edges={**group.edges, move.edge.need: move.to})

    def _watch(self, step: Observe) -> None:
        for address in step.groups:
            group = self.groups[address]
            if group.release in self.broken or group.healthy < group.replicas:
                raise StepFailed(
                    f"cannot keep {address.component}",
                    "It answers 5xx.",
                    component=address.component,
                    instance=str(address),
                )
