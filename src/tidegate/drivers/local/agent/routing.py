"""Where traffic goes: the gateway's table out of the state, and the moves that change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidegate.drivers.local.agent.state import EnvironmentRecord, GroupRecord, Pointer, State
from tidegate.drivers.local.gateway import Listener, Role, Table, Upstream
from tidegate.model.address import GroupAddress
from tidegate.model.digest import short


def entry_name(environment: str, component: str) -> str:
    """The name of an entry's listener, and of its port in the registry."""
    return f"{environment}/entry/{component}"


def edge_name(group: GroupAddress, need: str) -> str:
    """The name of an edge's listener, and of its port in the registry."""
    return f"{group.environment}/edge/{group.name}/{need}"


def candidate_name(group: GroupAddress) -> str:
    """The name of a candidate's listener, and of its port in the registry."""
    return f"{group.environment}/candidate/{group.name}"


def instance_name(group: GroupAddress, index: int | None = None) -> str:
    """The name of an instance's port in the registry; what those of all instances begin with without `index`."""
    return f"{group.environment}/instance/{group.name}.{'' if index is None else index}"


def table(state: State, serving: Mapping[GroupAddress, Sequence[int]]) -> Table:
    """Everything the gateway shall do; `serving` are the ports that get traffic, by group. Pure."""
    return Table(
        upstreams=tuple(
            _upstream(group, serving.get(group.address, ())) for group in state.groups() if not group.spec.worker
        ),
        listeners=tuple(
            listener for name, environment in state.environments.items() for listener in _listeners(name, environment)
        ),
    )


def callers(environment: EnvironmentRecord, group: GroupAddress) -> str:
    """Who still sends users' traffic to this group: "" for nobody, else in words.

    Traffic begins at entries and at workers that run, and goes on along the edges of the groups it reaches; edges of
    groups that nobody reaches carry none.
    """
    reached: dict[GroupAddress, str] = {}
    waiting = [(entry.to, f"the entry of {name}") for name, entry in environment.entries.items()]
    for worker in environment.groups.values():
        if worker.spec.worker and worker.replicas:
            waiting += _onward(worker)
    while waiting:
        to, by = waiting.pop()
        if to is None or to in reached:
            continue
        reached[to] = by
        if to in environment.groups:
            waiting += _onward(environment.groups[to])
    return reached.get(group, "")


def _onward(caller: GroupRecord) -> list[tuple[GroupAddress | None, str]]:
    return [(edge.to, f"{caller.address.name} (its need {need})") for need, edge in caller.edges.items()]


def _upstream(group: GroupRecord, ports: Sequence[int]) -> Upstream:
    address = group.address
    return Upstream(
        name=str(address),
        environment=address.environment,
        component=address.component,
        group=address.name,
        release=short(group.spec.release),
        endpoints=tuple(("127.0.0.1", port) for port in sorted(ports)),
    )


def _listeners(name: str, environment: EnvironmentRecord) -> Iterator[Listener]:
    reserved = {component: Pointer(port, None) for component, port in environment.reserved.items()}
    for component, entry in {**reserved, **environment.entries}.items():
        yield Listener(
            name=entry_name(name, component),
            role=Role.ENTRY,
            environment=name,
            port=entry.port,
            caller="",
            caller_group="",
            caller_release="",
            need=component,
            to=_to(environment, entry),
        )
    for group in environment.groups.values():
        for need, edge in group.edges.items():
            yield Listener(
                name=edge_name(group.address, need),
                role=Role.EDGE,
                environment=name,
                port=edge.port,
                caller=group.address.component,
                caller_group=group.address.name,
                caller_release=short(group.spec.release),
                need=need,
                to=_to(environment, edge),
            )
        if group.candidate:
            yield Listener(
                name=candidate_name(group.address),
                role=Role.CANDIDATE,
                environment=name,
                port=group.candidate,
                caller="",
                caller_group="",
                caller_release="",
                need=group.address.component,
                to=str(group.address),
            )


def _to(environment: EnvironmentRecord, pointer: Pointer) -> str | None:
    """A group that does not exist (yet, any more), or has no address, is one that answers 503."""
    group = environment.groups.get(pointer.to) if pointer.to else None
    return str(pointer.to) if group is not None and not group.spec.worker else None
