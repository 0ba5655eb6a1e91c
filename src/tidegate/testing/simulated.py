"""A target in memory: every step takes effect at once, or after a simulated time, or fails as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

import anyio.lowlevel

from tidegate.errors import OldEpoch, StepFailed, TargetUnreachable, TidegateError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import Hook, Kind, Release
from tidegate.model.observed import (
    InstanceState,
    Observed,
    ObservedGroup,
    ObservedInstance,
    ObservedResource,
    ObservedRun,
    RunState,
)
from tidegate.model.step import (
    Assume,
    Observe,
    Prepare,
    Provide,
    Replace,
    Retire,
    Revert,
    Route,
    Run,
    Scale,
    Start,
    Step,
    Verify,
    Withdraw,
)
from tidegate.ports.clock import Clock
from tidegate.ports.target import Epoch, Outcome


def nothing(_: Step) -> None:
    """No step fails."""


def at_once(_: Step) -> float:
    """No step takes time."""
    return 0.0


@dataclass
class SimulatedTarget:
    """`fault` may return an error for a step instead of its effect; `duration` gives its seconds on `clock`.

    `broken` releases answer 5xx to everything: they start, and fail when they are observed. `failing` are commands
    that run to their end and fail. `ran` tells all that were run, in their order.
    """

    releases: Mapping[str, Release] = field(default_factory=dict)
    clock: Clock | None = None
    fault: Callable[[Step], TidegateError | None] = nothing
    duration: Callable[[Step], float] = at_once
    broken: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    unreachable: bool = False
    groups: dict[GroupAddress, ObservedGroup] = field(default_factory=dict)
    entries: dict[tuple[str, str], GroupAddress] = field(default_factory=dict)
    runs: dict[RunAddress, ObservedRun] = field(default_factory=dict)
    resources: dict[tuple[str, str], ObservedResource] = field(default_factory=dict)
    data: dict[tuple[str, str], str] = field(default_factory=dict)
    epochs: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: list[Step] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    memory_free: int = 0

    @property
    def place(self) -> str:
        """As `Target.place`."""
        return "simulated"

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
            {address: run for address, run in self.runs.items() if address.environment == environment},
            {name: resource for (where, name), resource in self.resources.items() if where == environment},
            self.memory_free,
        )

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """As `Target.run`."""
        if self.unreachable:
            raise TargetUnreachable(f"cannot see {epoch.environment}", "The simulation is unreachable.")
        self.admit(epoch)
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

    def admit(self, epoch: Epoch) -> None:
        """Remember an epoch. Raises `OldEpoch` if a younger one was seen."""
        for component in epoch.components:
            key = (epoch.environment, component)
            if self.epochs.get(key, 0) > epoch.number:
                raise OldEpoch(
                    f"cannot change {component}",
                    f"Epoch {self.epochs[key]} was seen, this is {epoch.number}.",
                    component=component,
                )
            self.epochs[key] = epoch.number

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """As `Target.forget`."""
        self.epochs = {key: number for key, number in self.epochs.items() if key[0] != environment}
        self.resources = {key: seen for key, seen in self.resources.items() if key[0] != environment}
        if data:
            self.data = {key: kept for key, kept in self.data.items() if key[0] != environment}
            self.runs = {address: run for address, run in self.runs.items() if address.environment != environment}

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

    def weigh(self, memory: int) -> None:
        """Let every instance that runs have so many bytes."""
        for address, group in self.groups.items():
            self.groups[address] = replace(
                group, instances=tuple(replace(instance, memory=memory) for instance in group.instances)
            )

    def interrupt(self, run: RunAddress) -> None:
        """Let a run have been ended in the middle."""
        self.runs[run] = replace(self.runs[run], state=RunState.INTERRUPTED, status=None)

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
            case Start() | Replace():
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
            case Run() | Revert() | Assume():
                self._command(step)
            case Provide():
                url = step.spec.url.replace("${PORT}", "1").replace("$PORT", "1")
                self.resources[environment, step.resource] = ObservedResource(
                    step.resource, step.spec.identity, InstanceState.HEALTHY, url
                )
                if step.spec.data:
                    self.data.setdefault((environment, step.resource), "")
            case Withdraw():
                self.resources.pop((environment, step.resource), None)
            case _:
                assert_never(step)
        return Outcome()

    def _start(self, step: Start | Replace) -> Outcome:
        for address in step.stops if isinstance(step, Replace) else ():
            if address in self.groups:
                self.groups[address] = replace(self.groups[address], replicas=0, instances=())
        release = self.releases.get(step.pin.release)
        rivals = [
            group.address.name
            for group in self.groups.values()
            if release
            and release.runtime.data
            and group.instances
            and group.address != step.group
            and (group.address.environment, group.address.component) == (step.group.environment, step.group.component)
        ]
        if rivals:
            raise StepFailed(
                f"cannot start {step.group.component}",
                f"{rivals[0]} still writes to its data.",
                component=step.group.component,
            )
        if release and release.runtime.data:
            self.data.setdefault((step.group.environment, step.group.component), "")
        old = self.groups.get(step.group)
        edges = old.edges if old else dict(step.edges)
        replicas = max(step.pin.shape.replicas, old.replicas if old else 0)
        instances = tuple(ObservedInstance(index, InstanceState.HEALTHY) for index in range(1, replicas + 1))
        self.groups[step.group] = ObservedGroup(
            step.group, step.pin.identity, step.pin.release, replicas, instances, edges
        )
        served = release is None or release.kind is Kind.SERVICE
        return Outcome({} if old or not served else {step.group.name: f"simulated://{step.group}"})

    def _command(self, step: Run | Revert | Assume) -> None:
        run = step.run
        known = self.runs.get(run)
        match step:
            case Run():
                if known and known.state is RunState.DONE:
                    return
                hook = self.releases[run.release].runtime.hook(run.what) or Hook("")
                if known and known.state is RunState.INTERRUPTED and not hook.retry:
                    raise StepFailed(f"cannot run {hook.run}", "It was ended in the middle.", component=run.component)
                self._end(hook.run, ObservedRun(run, RunState.DONE, step.pin, 0))
            case Revert():
                before = self.releases[run.release].runtime.before
                if known is None or before is None or before.undo is None:
                    return
                self._end(before.undo, known)
                del self.runs[run]
            case Assume():
                if known is not None and step.state is None:
                    del self.runs[run]
                elif known is not None and step.state is not None:
                    self.runs[run] = replace(known, state=step.state)

    def _end(self, command: str, done: ObservedRun) -> None:
        self.ran.append(command)
        if command in self.failing:
            if done.address not in self.runs:
                self.runs[done.address] = replace(done, state=RunState.FAILED, status=1)
            raise StepFailed(
                f"cannot run {command}", "It ended with 1.", component=done.address.component, log=("cannot go on",)
            )
        self.runs[done.address] = done

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
