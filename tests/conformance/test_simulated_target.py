"""The simulated target passes the suite that real targets pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tidegate.errors import StepFailed
from tidegate.model.component import Hook, Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.pins import Resource
from tidegate.model.step import Provide, Replace, Run, Start, Step, Verify
from tidegate.ports.target import Epoch
from tidegate.testing.simulated import SimulatedTarget
from tidegate.testing.target_conformance import Behaviour, TargetConformance


class SimulatedHarness:
    """Releases that behave as asked, by scripted faults."""

    environment = "dev"

    def __init__(self) -> None:
        self.known: dict[str, Release] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.target = SimulatedTarget(self.known, fault=self._fault)

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
        name = digest("release", [component, version])
        self.known[name] = Release(name, component, kind, "shop", Runtime(run="x", needs=needs, data=data))
        self.behaviours[name] = behaviour
        if behaviour is Behaviour.BREAKS_UNDER_TRAFFIC:
            self.target.broken.add(name)
        return self.known[name]

    def resource(self, version: str = "1", *, data: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Resource:
        return Resource(run=behaviour.value, url=f"simulated://{version}:$PORT", data=data)

    async def migration(self, version: str, *, retry: bool = False) -> Release:
        name = digest("release", ["backend", version])
        before = Hook(f"migrate-{version}", undo=f"back-{version}", retry=retry)
        self.known[name] = Release(name, "backend", Kind.SERVICE, "shop", Runtime(run="x", before=before))
        return self.known[name]

    async def ran(self) -> list[str]:
        return list(self.target.ran)

    async def let_runs_fail(self, failing: bool) -> None:
        hooks = [release.runtime.before for release in self.known.values() if release.runtime.before]
        self.target.failing = {command for hook in hooks for command in (hook.run, hook.undo or "") if failing}

    async def interrupt(self, step: Run) -> None:
        await self.target.run(step, Epoch(self.environment, 1, ("backend",)))
        self.target.interrupt(step.run)

    async def given(self, component: str, resource: str) -> str:
        group = self.target.entries[self.environment, component]
        starts = (step for step in self.target.seen if isinstance(step, Start | Replace) and step.group == group)
        assert resource in dict(next(starts).pin.shape.resources)
        return self.target.resources[self.environment, resource].url

    async def write(self, owner: str, text: str) -> None:
        self.target.data[self.environment, owner] = text

    async def read(self, owner: str) -> str | None:
        return self.target.data.get((self.environment, owner))

    async def answers(self, component: str) -> Mapping[str, str]:
        return self.target.answers(self.environment, component)

    @asynccontextmanager
    async def traffic(self, component: str) -> AsyncIterator[None]:
        assert self.target.answers(self.environment, component)
        yield

    async def blind(self) -> None:
        self.target.unreachable = True

    def _fault(self, step: Step) -> StepFailed | None:
        match step:
            case Start() | Replace():
                behaviour = self.behaviours[step.pin.release]
                failing = behaviour in {Behaviour.EXITS, Behaviour.NEVER_HEALTHY}
            case Provide() if step.spec.run == Behaviour.EXITS:
                return StepFailed(f"cannot provide {step.resource}", "As scripted.", component=step.resource)
            case Verify():
                failing = self.behaviours[step.release] is Behaviour.FAILS_VERIFY
            case _:
                return None
        component = step.group.component
        return StepFailed(f"cannot start {component}", "As scripted.", component=component) if failing else None


class TestSimulatedTarget(TargetConformance):
    """See the suite."""

    @pytest.fixture
    def harness(self) -> SimulatedHarness:
        return SimulatedHarness()
