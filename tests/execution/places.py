"""One environment with a real store, a simulated target and an executor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.planning.worlds import release
from tidegate.errors import StepFailed
from tidegate.execution import Applied, Executor, Place, Progress, Recovery
from tidegate.execution.settle import head_pins
from tidegate.model.component import Kind, Release
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.model.plan import Plan
from tidegate.model.step import Observe, Replace, Retire, Start, Step
from tidegate.planning import Limit, Policy, make_plan
from tidegate.stores.sql import SqlStore
from tidegate.testing.simulated import SimulatedTarget
from tidegate.testing.time import VirtualClock

CHAIN = ("a", "b", "c", "d")  # a is needed by b, b by c, c by d


class Still:
    """A clock that stands still until it is moved."""

    moment = 1000.0

    def now(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds


class Environment:
    """`dev`, with all that is needed to change it; `recovery` is another process that comes later."""

    def __init__(self, store: SqlStore, clock: Still) -> None:
        self.store = store
        self.clock = clock
        self.releases: dict[str, Release] = {}
        self.target = SimulatedTarget(self.releases, clock=VirtualClock())
        self.progress: list[Progress] = []
        self.executor = Executor(store, self.target, holder="here:1:1", by="tests", reporter=self.progress.append)
        self.recovery = Recovery(
            Place(store, self.target, Limit()),
            holder="here:2:2",
            by="tests",
            report=self.progress.append,
            vanished=lambda holder: holder == "here:1:1",
        )

    def chain(self, version: int, components: tuple[str, ...] = CHAIN, *, apart: bool = False) -> Pins:
        """Pins of one version; each component needs the one before, unless `apart`."""
        pins = {}
        for place, name in enumerate(components):
            made = release(name, version, () if apart or not place else (components[place - 1],))
            self.releases[made.digest] = made
            pins[name] = Pin(made.digest, "", Shape(replicas=2))
        return pins

    def pin(self, name: str, version: int, needs: tuple[str, ...] = (), kind: Kind = Kind.SERVICE, **more: Any) -> Pin:
        """A pin of one release of any kind."""
        made = release(name, version, needs, kind, **more)
        self.releases[made.digest] = made
        return Pin(made.digest, "", Shape())

    async def plan(
        self, wanted: Pins, *, observe: int = 5, held: Collection[str] = (), limit: Limit | None = None
    ) -> Plan:
        record = await self.store.environment("dev")
        return make_plan(
            environment="dev",
            parent=record.head,
            number=record.next_number,
            current=await head_pins(self.store, record),
            wanted=wanted,
            observed=await self.target.observe("dev"),
            releases=self.releases,
            policy=Policy(observe=observe, max_extra=limit or Limit()),
            held=held,
        )

    async def apply(self, wanted: Pins, *, held: Collection[str] = (), limit: Limit | None = None) -> Applied:
        for each in self.releases.values():
            await self.store.put_release(each)
        return await self.executor.apply(await self.plan(wanted, held=held, limit=limit), self.releases)

    async def pins(self) -> Pins:
        return await head_pins(self.store, await self.store.environment("dev"))

    def answers(self, component: str) -> Mapping[str, str]:
        return self.target.answers("dev", component)

    def fail(self, kind: type[Step], component: str) -> None:
        """Let every step of this kind about the new groups of a component fail."""

        def fault(step: Step) -> StepFailed | None:
            groups = (
                step.groups
                if isinstance(step, Observe)
                else (step.group,)
                if isinstance(step, Start | Replace | Retire)
                else ()
            )
            young = [group for group in groups if group.component == component and group.born > 1]
            if isinstance(step, kind) and young:
                return StepFailed(f"cannot do {component}", "As scripted.", component=component)
            return None

        self.target.fault = fault

    async def recovered(self) -> None:
        """Let the claims of the former executor run out, then recover."""
        self.clock.moment += 3600
        await self.recovery.recover("dev", by_hand=False)
        assert (await self.store.environment("dev")).claims == ()
