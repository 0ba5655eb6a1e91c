"""A simulated target that outlives processes, and that many of them can use at once: it is kept in a file."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio.lowlevel

from tests.faults.points import Points, named
from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance
from tidegate.model.step import Replace, Retire, Start, Step
from tidegate.ports.target import Epoch, Outcome
from tidegate.testing.simulated import SimulatedTarget

KEPT = ("groups", "entries", "runs", "resources", "data", "epochs", "ran")


class KeptTarget(SimulatedTarget):
    """What is there is read from the file before each effect and written after it; where an effect has a middle, the
    middle is written as well, and is a point."""

    def __init__(self, file: Path, releases: Mapping[str, Release], points: Points | None = None) -> None:
        super().__init__(releases)
        self._file = file
        self._points = points or Points()

    async def observe(self, environment: str) -> Observed:
        """As `Target.observe`."""
        with self._held(writing=False):
            return self.look(environment)

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """As `Target.run`."""
        with self._held():
            self.admit(epoch)
        await anyio.lowlevel.checkpoint()
        with self._held():
            self.admit(epoch)
            if failure := self.fault(step):
                raise failure
            if self._begin(step):
                self._write()
                self._points.reach(f"in the middle of {named(step)}")
            return self.take(step, epoch.environment)

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """As `Target.forget`."""
        with self._held():
            await super().forget(environment, data=data)

    def _begin(self, step: Step) -> bool:
        """The first half of an effect, if it has two."""
        match step:
            case Start() if step.group not in self.groups:
                self._bear(step)
            case Replace():
                for address in step.stops:
                    self._empty(address)
                if step.group not in self.groups:
                    self._bear(step)
            case Retire() if step.group in self.groups:
                self._empty(step.group)
            case _:
                return False
        return True

    def _bear(self, step: Start | Replace) -> None:
        replicas = step.pin.shape.replicas
        instances = tuple(ObservedInstance(index, InstanceState.STARTING) for index in range(1, replicas + 1))
        group = ObservedGroup(step.group, step.pin.identity, step.pin.release, replicas, instances, dict(step.edges))
        self.groups[step.group] = group

    def _empty(self, address: GroupAddress) -> None:
        if address in self.groups:
            self.groups[address] = replace(self.groups[address], instances=())

    @contextmanager
    def _held(self, *, writing: bool = True) -> Iterator[None]:
        with self._file.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if before := self._file.read_bytes():
                self.__dict__.update(pickle.loads(before))
            yield
            if writing:
                self._write()

    def _write(self) -> None:
        """In one write, which a signal does not cut in two; no machine fails here."""
        self._file.write_bytes(pickle.dumps({name: getattr(self, name) for name in KEPT}))
