"""The simulated target passes the suite that real targets pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tidegate.errors import StepFailed
from tidegate.model.component import Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.step import Start, Step, Verify
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
        self, component: str, version: str, *, needs: tuple[str, ...] = (), behaviour: Behaviour = Behaviour.GOOD
    ) -> Release:
        name = digest("release", [component, version])
        self.known[name] = Release(name, component, Kind.SERVICE, "shop", Runtime(run="x", needs=needs))
        self.behaviours[name] = behaviour
        if behaviour is Behaviour.BREAKS_UNDER_TRAFFIC:
            self.target.broken.add(name)
        return self.known[name]

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
            case Start():
                behaviour = self.behaviours[step.pin.release]
                failing = behaviour in {Behaviour.EXITS, Behaviour.NEVER_HEALTHY}
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
