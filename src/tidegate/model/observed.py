"""What a target sees: groups, their instances, and where entries and edges point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.pins import Pin


class InstanceState(StrEnum):
    """What an instance is doing."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    CRASH_LOOPING = "crash-looping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ObservedInstance:
    """One instance. `restarts` counts since the group was born; `address` is host:port, "" while it has none.

    `memory` is its resident memory in bytes, 0 where the target cannot tell.
    """

    index: int
    state: InstanceState
    restarts: int = 0
    address: str = ""
    pid: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class ObservedGroup:
    """One instance group. `identity` is the `Pin.identity` it was born with, `replicas` how many it shall have."""

    address: GroupAddress
    identity: str
    release: str
    replicas: int
    instances: tuple[ObservedInstance, ...] = ()
    edges: Mapping[str, GroupAddress | None] = field(default_factory=dict)

    @property
    def healthy(self) -> int:
        """How many instances are healthy."""
        return sum(instance.state is InstanceState.HEALTHY for instance in self.instances)


class RunState(StrEnum):
    """What became of a command that runs to its end. INTERRUPTED: it ended, and nobody saw how."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """The last that is known of one run. `pin` is what it ran with; `status` its exit status, None if unknown."""

    address: RunAddress
    state: RunState
    pin: Pin
    status: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedResource:
    """A resource that runs here. `identity` is that of its `Resource`, `url` what components get."""

    name: str
    identity: str
    state: InstanceState
    url: str = ""
    restarts: int = 0
    pid: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at an environment. Entries that exist but lead nowhere map to None.

    `urls` are the stable addresses of entries, component -> URL, for people to open and programs to call. `runs`
    outlive groups, releases and plain `down`, as data does. `memory_free` is how many bytes the place has left for
    more instances, 0 where the target cannot tell. `own_addresses`: each instance has an address of its own, so that
    programs which can listen on one port only may run side by side.
    """

    environment: str
    groups: Mapping[GroupAddress, ObservedGroup] = field(default_factory=dict)
    entries: Mapping[str, GroupAddress | None] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[RunAddress, ObservedRun] = field(default_factory=dict)
    resources: Mapping[str, ObservedResource] = field(default_factory=dict)
    memory_free: int = 0
    own_addresses: bool = False
