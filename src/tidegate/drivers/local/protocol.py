"""What client and agent say to each other, as plain data and JSON. Both sides and the state file use these forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate import errors
from tidegate.model.address import GroupAddress
from tidegate.model.component import Health, HealthKind
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance, ObservedResource

PROTOCOL = 2
"""Grows with every change to what stands here; an agent that speaks another one is replaced."""


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """All that an instance group is, apart from how many there are, where its edges lead and secret values.

    `folder` is absolute. `env` holds plain values only, `secrets` references by variable name. `settings` is the
    path of the group's settings file, "" for none, `data` that of the folder which belongs to the component, "" for
    none. A `worker` has no address. `resources` are names of those of the environment that it uses. Times in
    milliseconds.
    """

    address: GroupAddress
    identity: str
    release: str
    command: str
    folder: str
    health: Health
    drain: int
    grace: int
    port: int | None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    data: str = ""
    worker: bool = False
    resources: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its instances are called, apart from their number."""
        return self.address.name


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A resource that the environment runs. `folder` is absolute: where it works, and its data where it has some.

    `url` is a template with $PORT in it, and may have $HOST. Times in milliseconds.
    """

    environment: str
    name: str
    identity: str
    command: str
    url: str
    folder: str
    health: Health
    grace: int
    data: bool
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A resolved Start. `settings` is the content for the group's settings file, None for none.

    `values` are the secrets' values by variable name; they exist in memory only.
    """

    spec: GroupSpec
    replicas: int
    edges: Mapping[str, GroupAddress | None]
    settings: str | None = None
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


Json = dict[str, Any]


def group_to_json(group: GroupAddress | None) -> list[Any] | None:
    """`["dev", "backend", 44]`."""
    return None if group is None else [group.environment, group.component, group.born]


def group_from_json(data: Sequence[Any] | None) -> GroupAddress | None:
    """The opposite of `group_to_json`."""
    return None if data is None else GroupAddress(data[0], data[1], data[2])


def some_group(data: Sequence[Any]) -> GroupAddress:
    """A group that is never None."""
    return GroupAddress(data[0], data[1], data[2])


def spec_to_json(spec: GroupSpec) -> Json:
    """Contains no secret value, so it may be written to the state file."""
    data = asdict(spec)
    data["address"] = group_to_json(spec.address)
    data["health"]["kind"] = spec.health.kind.value
    return data


def spec_from_json(data: Json) -> GroupSpec:
    """The opposite of `spec_to_json`."""
    health = _health_from_json(data["health"])
    resources = tuple(data.get("resources", ()))
    return GroupSpec(**{**data, "address": some_group(data["address"]), "health": health, "resources": resources})


def resource_to_json(spec: ResourceSpec) -> Json:
    """Every field by its name."""
    data = asdict(spec)
    data["health"]["kind"] = spec.health.kind.value
    return data


def resource_from_json(data: Json) -> ResourceSpec:
    """The opposite of `resource_to_json`."""
    return ResourceSpec(**{**data, "health": _health_from_json(data["health"])})


def _health_from_json(data: Json) -> Health:
    return Health(**{**data, "kind": HealthKind(data["kind"])})


def start_to_json(request: StartRequest) -> Json:
    """Carries secret values: for the socket only."""
    return {
        "spec": spec_to_json(request.spec),
        "replicas": request.replicas,
        "edges": {need: group_to_json(to) for need, to in request.edges.items()},
        "settings": request.settings,
        "values": dict(request.values),
    }


def start_from_json(data: Json) -> StartRequest:
    """The opposite of `start_to_json`."""
    return StartRequest(
        spec=spec_from_json(data["spec"]),
        replicas=data["replicas"],
        edges={need: group_from_json(to) for need, to in data["edges"].items()},
        settings=data["settings"],
        values=data["values"],
    )


def observed_to_json(observed: Observed) -> Json:
    """One look at an environment."""
    return {
        "environment": observed.environment,
        "groups": [
            {
                "address": group_to_json(group.address),
                "identity": group.identity,
                "release": group.release,
                "replicas": group.replicas,
                "instances": [{**asdict(instance), "state": instance.state.value} for instance in group.instances],
                "edges": {need: group_to_json(to) for need, to in group.edges.items()},
            }
            for group in observed.groups.values()
        ],
        "entries": {component: group_to_json(to) for component, to in observed.entries.items()},
        "urls": dict(observed.urls),
        "resources": [{**asdict(found), "state": found.state.value} for found in observed.resources.values()],
    }


def observed_from_json(data: Json) -> Observed:
    """The opposite of `observed_to_json`."""
    groups = [
        ObservedGroup(
            address=some_group(group["address"]),
            identity=group["identity"],
            release=group["release"],
            replicas=group["replicas"],
            instances=tuple(
                ObservedInstance(**{**instance, "state": InstanceState(instance["state"])})
                for instance in group["instances"]
            ),
            edges={need: group_from_json(to) for need, to in group["edges"].items()},
        )
        for group in data["groups"]
    ]
    return Observed(
        environment=data["environment"],
        groups={group.address: group for group in groups},
        entries={component: group_from_json(to) for component, to in data["entries"].items()},
        urls=data["urls"],
        resources={
            found["name"]: ObservedResource(**{**found, "state": InstanceState(found["state"])})
            for found in data["resources"]
        },
    )


def error_to_json(error: errors.TidegateError) -> Json:
    """An error that is raised again on the other side, with its type."""
    data: Json = {
        "type": type(error).__name__,
        "summary": error.summary,
        "detail": error.detail,
        "hint": error.hint,
        "address": error.address,
    }
    if isinstance(error, errors.StepFailed):
        data |= {"component": error.component, "instance": error.instance, "log": list(error.log)}
    return data


def error_from_json(data: Json) -> errors.TidegateError:
    """The opposite of `error_to_json`; an unknown type becomes a `TargetError`."""
    kind = getattr(errors, data["type"], errors.TargetError)
    if isinstance(kind, type) and issubclass(kind, errors.StepFailed):
        return kind(
            data["summary"],
            data["detail"],
            component=data["component"],
            instance=data["instance"],
            log=data["log"],
            hint=data["hint"],
        )
    if not (isinstance(kind, type) and issubclass(kind, errors.TargetError)):
        kind = errors.TargetError
    return kind(data["summary"], data["detail"], hint=data["hint"], address=data["address"])
