"""What one agent holds: groups with their instances, the gateway, ports, and the state file that survives it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tidegate.drivers.local.agent import surroundings
from tidegate.drivers.local.agent.instance import Instance
from tidegate.drivers.local.agent.routing import callers, table
from tidegate.drivers.local.agent.state import (
    EnvironmentRecord,
    GroupRecord,
    InstanceRecord,
    ResourceRecord,
    load,
    save,
)
from tidegate.drivers.local.folders import Folders, unusable
from tidegate.drivers.local.gateway import Gateway, Table, Traffic
from tidegate.drivers.local.logs import InstanceLog
from tidegate.drivers.local.ports import PortRegistry
from tidegate.errors import GatewayRefused, TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.model.observed import Observed, ObservedGroup, ObservedResource

REVIVALS = 5
"""So often in a row the gateway may die under one question before that fails."""
DYING = 0.05
"""Seconds that a gateway which was just ended may still count as alive, and be asked in vain."""
T = TypeVar("T")


class Project:
    """Everything of one project that runs. One per agent; not thread-safe: all in one event loop.

    `dirty` is set when the gateway may have to be told something, `ending` once nothing shall be started again.
    """

    def __init__(self, folders: Folders, registry: PortRegistry) -> None:
        self.folders = folders
        self.registry = registry
        self.state = load(folders.state_file)
        self.gateway = Gateway(folders.gateway, folders.runtime, folders.access_log)
        self.instances: dict[GroupAddress, dict[int, Instance]] = {}
        self.resources: dict[tuple[str, str], Instance] = {}
        self.values: dict[GroupAddress, Mapping[str, str]] = {}
        self._withheld: set[tuple[GroupAddress, int]] = set()
        self._booting: set[GroupAddress] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        self._applying = asyncio.Lock()
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._unheeded: set[asyncio.Task[None]] = set()
        self.dirty = asyncio.Event()
        self.ending = False
        self._complaint = ""
        self._turn = asyncio.Lock()
        self._started: asyncio.Task[None] | None = None

    # Life

    async def adopt(self) -> None:
        """Go on where the agent before ended."""
        for group in self.state.groups():
            self.values[group.address] = surroundings.remembered(group)
            for record in group.instances.values():
                instance = self.instance(group, record)
                if record.index < group.replicas:
                    instance.adopt()
                else:
                    instance.recall()
        for resource in self.state.resources():
            self.resource(resource).adopt()
        self._started = asyncio.create_task(self.gateway.start())
        self.dirty.set()

    async def serving(self) -> None:
        """Return when the gateway runs. Raises `TargetError` when it cannot be started; the next call tries again."""
        if self._started is None or (self._started.done() and self._started.exception() is not None):
            self._started = asyncio.create_task(self.gateway.start())
        await asyncio.shield(self._started)

    async def end(self) -> None:
        """Stop the gateway; nothing runs any more."""
        with suppress(TargetError):
            await self.serving()
        self.ending = True
        await self.gateway.stop()

    async def stop_all(self) -> None:
        """Stop every instance and the gateway, undrained; ports are given back unless another agent came meanwhile."""
        names = list(self.registry.names())
        await asyncio.gather(*(each.stop() for each in self.supervised()))
        await self.end()
        if not self.folders.lock.exists():
            self.registry.give_back(names)

    def clear(self) -> None:
        """Remove what only an agent needs; its log and its lock stay."""
        shutil.rmtree(self.folders.gateway, ignore_errors=True)
        shutil.rmtree(self.folders.runtime, ignore_errors=True)
        self.folders.state_file.unlink(missing_ok=True)

    async def leave(self) -> None:
        """Let go of everything and leave it running."""
        self.save()
        for instance in self.supervised():
            await instance.leave()
        if self._started is not None:
            self._started.cancel()

    def complain(self, what: str) -> None:
        """Write to the agent's log, once for the same thing in a row."""
        if what != self._complaint:
            self._complaint = what
            print(what, flush=True)  # noqa: T201 - standard output is the agent's log

    # Groups and instances

    def lock(self, what: Hashable) -> asyncio.Lock:
        """Held by the one step that changes the instances of a group, by its address, or a resource."""
        return self._locks.setdefault(what, asyncio.Lock())

    async def see_through(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this to its end, also when the caller gives up."""
        task = asyncio.create_task(work)
        self._unheeded.add(task)
        task.add_done_callback(self._unheeded.discard)
        await asyncio.shield(task)

    def instance(self, group: GroupRecord, record: InstanceRecord) -> Instance:
        """The instance of a record, made when it is new; it does not run yet."""
        instances = self.instances.setdefault(group.address, {})
        if record.index not in instances:
            instances[record.index] = Instance(
                group.spec,
                record,
                environment=lambda record: surroundings.of_instance(self.environment(group), group, record),
                log=InstanceLog(self.folders.instance_log(group.address, record.index)),
                changed=self.changed,
                turn=self._turn,
            )
        return instances[record.index]

    def resource(self, record: ResourceRecord) -> Instance:
        """The process of a resource, made when it is new; it does not run yet."""
        key = (record.spec.environment, record.spec.name)
        if key not in self.resources:
            self.resources[key] = Instance(
                record.spec,
                record.instance,
                environment=lambda _: surroundings.of_resource(record),
                log=InstanceLog(self.folders.resource_log(*key)),
                changed=self.changed,
                turn=self._turn,
            )
        return self.resources[key]

    def supervised(self) -> list[Instance]:
        """All that is kept running: instances of groups, and resources."""
        groups = list(self.instances.values())
        return [*(instance for group in groups for instance in group.values()), *self.resources.values()]

    def environment(self, group: GroupRecord) -> dict[str, str] | str:
        """Variables that all processes of a group have, or in words why they are not known."""
        address = group.address
        return surroundings.of_group(self.state.environment(address.environment), group, self.values.get(address, {}))

    def withhold(self, address: GroupAddress, indices: Iterable[int]) -> None:
        """These instances get no more traffic from the next `apply` on, however healthy they are."""
        self._withheld |= {(address, index) for index in indices}

    def release(self, address: GroupAddress, indices: Iterable[int]) -> None:
        """The opposite of `withhold`."""
        self._withheld -= {(address, index) for index in indices}

    @contextmanager
    def booting(self, address: GroupAddress) -> Iterator[None]:
        """While inside, a group without traffic stays without: each of its instances getting healthy would be a
        change of the gateway that nobody waits for."""
        if not callers(self.state.environment(address.environment), address):
            self._booting.add(address)
        try:
            yield
        finally:
            self._booting.discard(address)
            self.dirty.set()

    def drop(self, address: GroupAddress) -> None:
        """Forget what was kept in memory for a group that is gone."""
        self.instances.pop(address, None)
        self.values.pop(address, None)

    # Changes

    def changed(self) -> None:
        """Something happened to an instance: keep it, wake who waits, and let the gateway know."""
        try:
            self.save()
        except OSError as error:  # a full disk must not end supervision; the next change tries again
            self.complain(f"cannot write the state file: {error}")
        self.dirty.set()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Wait for a condition that instances change; False when the time is over. The condition may raise."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            left = deadline - loop.time()
            if left <= 0 or not (await asyncio.wait([waiter], timeout=left))[0]:
                self._waiters.discard(waiter)
                return condition()
        return True

    def save(self) -> None:
        """Write the state file."""
        save(self.state, self.folders.state_file)

    async def apply(self) -> None:
        """Make the gateway do what the state says; callers at the same time share one change.

        A gateway that died is started again at once. Raises `TargetError`, such as `GatewayRefused`; then the former
        table is in force.
        """
        await self.serving()
        async with self._applying:
            try:
                await self._revived(lambda: self.gateway.apply(self.table()))
            except OSError as error:
                raise unusable(error) from error

    async def traffic(self, listeners: list[str]) -> Mapping[str, Traffic]:
        """What went through these listeners since the gateway started, which is now if it had died.

        Raises `TargetUnreachable`.
        """
        return await self._revived(lambda: self.gateway.traffic(listeners))

    async def _revived(self, ask: Callable[[], Awaitable[T]]) -> T:
        for _ in range(REVIVALS):
            try:
                return await ask()
            except TargetUnreachable:
                with suppress(TargetError):  # of the former table, or because it was ended again; `ask` tells
                    if not await self.gateway.revive():
                        await asyncio.sleep(DYING)
        with suppress(GatewayRefused):
            await self.gateway.revive()
        return await ask()

    def table(self) -> Table:
        """What the gateway has to do."""
        return table(self.state, {address: self._serving(address) for address in self.instances})

    def _serving(self, address: GroupAddress) -> list[int]:
        """Ports that get traffic. When no instance is healthy, those that were are better than none."""
        if address in self._booting:
            return []
        instances = [
            instance
            for index, instance in self.instances.get(address, {}).items()
            if (address, index) not in self._withheld
        ]
        healthy = [instance.record.port for instance in instances if instance.healthy]
        return healthy or [instance.record.port for instance in instances if instance.was_healthy]

    # Environments

    def observe(self, name: str) -> Observed:
        """One look at an environment."""
        environment = self.state.environments.get(name, EnvironmentRecord())
        return Observed(
            environment=name,
            groups={group.address: self._observed(group) for group in environment.groups.values()},
            entries={component: entry.to for component, entry in environment.entries.items()},
            urls={component: f"http://127.0.0.1:{entry.port}" for component, entry in environment.entries.items()},
            resources={resource: self._seen(record) for resource, record in environment.resources.items()},
        )

    def _seen(self, record: ResourceRecord) -> ObservedResource:
        spec, seen = record.spec, self.resource(record).observed()
        return ObservedResource(
            spec.name, spec.identity, seen.state, record.url, restarts=seen.restarts, pid=seen.pid, memory=seen.memory
        )

    def _observed(self, group: GroupRecord) -> ObservedGroup:
        instances = self.instances.get(group.address, {})
        return ObservedGroup(
            address=group.address,
            identity=group.spec.identity,
            release=group.spec.release,
            replicas=group.replicas,
            instances=tuple(instances[index].observed() for index in sorted(instances)),
            edges={need: edge.to for need, edge in group.edges.items()},
        )

    @property
    def idle(self) -> bool:
        """Whether there is no environment left."""
        return not self.state.environments
