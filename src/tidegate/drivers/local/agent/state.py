"""What the agent has to know again after its death, and the file it lies in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tidegate.drivers.local.protocol import (
    GroupSpec,
    ResourceSpec,
    group_from_json,
    group_to_json,
    resource_from_json,
    resource_to_json,
    spec_from_json,
    spec_to_json,
)
from tidegate.errors import TargetError
from tidegate.model.address import GroupAddress

FORMAT = 2
READABLE = (1, FORMAT)
"""Format 1 knew no resources, workers and data folders; the rest is the same."""


@dataclass
class InstanceRecord:
    """One instance. `port` is 0 where it has no address. `process` tells a living process from a later one with the
    same pid; "" while there is none."""

    index: int
    port: int
    pid: int = 0
    process: str = ""
    restarts: int = 0
    healthy: bool = False


@dataclass
class Pointer:
    """A listener's port and the group it leads to."""

    port: int
    to: GroupAddress | None


@dataclass
class GroupRecord:
    """One instance group. `candidate` is the port it can be looked at before it has an entry, 0 for none.

    Instances with an index of `replicas` or more are on their way out, and never started again.
    """

    spec: GroupSpec
    replicas: int
    edges: dict[str, Pointer] = field(default_factory=dict)
    candidate: int = 0
    instances: dict[int, InstanceRecord] = field(default_factory=dict)

    @property
    def address(self) -> GroupAddress:
        """What it is called."""
        return self.spec.address


@dataclass
class ResourceRecord:
    """One resource: supervised like an instance, behind no gateway."""

    spec: ResourceSpec
    instance: InstanceRecord

    @property
    def url(self) -> str:
        """What components get."""
        url = re.sub(r"\$(PORT\b|\{PORT\})", str(self.instance.port), self.spec.url)
        return re.sub(r"\$(HOST\b|\{HOST\})", "127.0.0.1", url)


@dataclass
class EnvironmentRecord:
    """One environment: its groups, its entries by component, the youngest epoch seen for each component, resources.

    `reserved` are ports of entries to come: their listeners are there before the switch, so that a port which somebody
    else has taken fails a start, unseen, and never a switch.
    """

    groups: dict[GroupAddress, GroupRecord] = field(default_factory=dict)
    entries: dict[str, Pointer] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    resources: dict[str, ResourceRecord] = field(default_factory=dict)


@dataclass
class State:
    """All environments of the project."""

    environments: dict[str, EnvironmentRecord] = field(default_factory=dict)

    def environment(self, name: str) -> EnvironmentRecord:
        """The record of an environment, made when it is new."""
        return self.environments.setdefault(name, EnvironmentRecord())

    def group(self, address: GroupAddress) -> GroupRecord | None:
        """None for a group that is not here."""
        environment = self.environments.get(address.environment)
        return environment.groups.get(address) if environment else None

    def groups(self) -> Iterator[GroupRecord]:
        """Of all environments."""
        for environment in self.environments.values():
            yield from environment.groups.values()

    def resources(self) -> Iterator[ResourceRecord]:
        """Of all environments."""
        for environment in self.environments.values():
            yield from environment.resources.values()


def save(state: State, file: Path) -> None:
    """Replace the file in one step: a reader finds the old content or the new one."""
    staged = file.with_suffix(".new")
    staged.touch(mode=0o600)
    staged.write_text(json.dumps({"format": FORMAT, "environments": _to_json(state)}))
    staged.replace(file)


def load(file: Path) -> State:
    """An empty state when there is no file. Raises `TargetError` when it cannot be understood."""
    try:
        data = json.loads(file.read_text())
        _check_format(data["format"])
        return State({name: _environment_from_json(value) for name, value in data["environments"].items()})
    except FileNotFoundError:
        return State()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TargetError(
            "cannot read the state of the local target",
            f"{file}: {error}",
            hint="Use the version of tidegate that wrote it, or end what it lists by hand and remove the file.",
        ) from error


def _check_format(number: int) -> None:
    if number not in READABLE:
        raise ValueError(f"it has format {number}, this version of tidegate knows {FORMAT}")


def _to_json(state: State) -> dict[str, Any]:
    return {
        name: {
            "groups": [
                {
                    "spec": spec_to_json(group.spec),
                    "replicas": group.replicas,
                    "edges": _pointers_to_json(group.edges),
                    "candidate": group.candidate,
                    "instances": [asdict(instance) for instance in group.instances.values()],
                }
                for group in environment.groups.values()
            ],
            "entries": _pointers_to_json(environment.entries),
            "reserved": environment.reserved,
            "epochs": environment.epochs,
            "resources": [
                {"spec": resource_to_json(resource.spec), "instance": asdict(resource.instance)}
                for resource in environment.resources.values()
            ],
        }
        for name, environment in state.environments.items()
    }


def _environment_from_json(data: dict[str, Any]) -> EnvironmentRecord:
    groups = [
        GroupRecord(
            spec=spec_from_json(group["spec"]),
            replicas=group["replicas"],
            edges=_pointers_from_json(group["edges"]),
            candidate=group["candidate"],
            instances={instance["index"]: InstanceRecord(**instance) for instance in group["instances"]},
        )
        for group in data["groups"]
    ]
    return EnvironmentRecord(
        groups={group.address: group for group in groups},
        entries=_pointers_from_json(data["entries"]),
        reserved=data["reserved"],
        epochs=data["epochs"],
        resources={
            resource["spec"]["name"]: ResourceRecord(
                resource_from_json(resource["spec"]), InstanceRecord(**resource["instance"])
            )
            for resource in data.get("resources", ())
        },
    )


def _pointers_to_json(pointers: dict[str, Pointer]) -> dict[str, Any]:
    return {name: [pointer.port, group_to_json(pointer.to)] for name, pointer in pointers.items()}


def _pointers_from_json(data: dict[str, Any]) -> dict[str, Pointer]:
    return {name: Pointer(port, group_from_json(to)) for name, (port, to) in data.items()}
