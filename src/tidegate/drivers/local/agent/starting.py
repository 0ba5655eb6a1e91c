"""Start and Verify: a group comes to life beside what runs, unseen by users."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tidegate.drivers.local.agent.instance import LOG_LINES, Instance
from tidegate.drivers.local.agent.process import Process
from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.routing import candidate_name, edge_name, entry_name, instance_name
from tidegate.drivers.local.agent.state import EnvironmentRecord, GroupRecord, InstanceRecord, Pointer
from tidegate.drivers.local.agent.waiting import Failure, until_healthy
from tidegate.drivers.local.folders import make_own
from tidegate.drivers.local.protocol import GroupSpec, StartRequest
from tidegate.errors import GatewayRefused, StepFailed, TargetError
from tidegate.model.address import GroupAddress

VERIFY_PATIENCE = 60.0
OUTPUT = 1 << 16
"""Bytes at the end of what `verify` printed that are looked at."""
GATHER = 0.01


async def start(project: Project, request: StartRequest) -> dict[str, str]:
    """The group has `request.replicas` healthy instances; returns its candidate address by group name, if it is to
    have one. Brings a group to life again that was stopped.

    Raises `StepFailed` as soon as one instance ends, or is not healthy in time; the group stays as it is.
    """
    async with project.lock(request.spec.address):
        group = await _ensure_group(project, request)
        if group.candidate and not group.instances:
            # Steps of one change arrive together; the gateway takes the listeners of all of them at once.
            await asyncio.sleep(GATHER)
        try:
            await project.apply()  # listeners first: an instance may call what it needs while it boots
        except GatewayRefused as error:
            if not group.instances:
                _unborn(project, group)
            raise StepFailed(
                f"cannot start {group.address.component}",
                error.detail,
                component=group.address.component,
                hint="Try again: if a port was taken by another program, others are chosen.",
            ) from error
        instances = _ensure_instances(project, group, request.replicas)
        project.release(group.address, group.instances)
        exits = {instance.name: instance.exits for instance in instances}
        with project.booting(group.address):
            await asyncio.gather(*(instance.ensure() for instance in instances))
            await until_healthy(project, instances, exits, _failure(group), movable=True)
        await project.apply()
        return {} if group.spec.worker else {group.address.name: f"http://127.0.0.1:{_address(project, group)}"}


async def verify(project: Project, address: GroupAddress, command: str) -> None:
    """The command ended with 0. It runs as the instances do, and TIDEGATE_URL leads to them if they have an address.

    Raises `StepFailed` with what it printed when it ends with anything else or takes longer than 60 s.
    """
    group = project.state.group(address)
    if group is None:
        raise _verify_failed(address, f"{address.name} does not run.")
    environment = project.environment(group)
    if isinstance(environment, str):
        raise _verify_failed(address, environment)
    if not group.spec.worker:
        environment["TIDEGATE_URL"] = f"http://127.0.0.1:{_address(project, group)}"
    with tempfile.TemporaryFile() as output:
        process = Process.spawn(
            ["/bin/sh", "-c", command], folder=group.spec.folder, env=environment, output=output.fileno()
        )
        try:
            async with asyncio.timeout(VERIFY_PATIENCE):
                status = await asyncio.shield(process.exited)
        except TimeoutError:
            reason = f"`{command}` did not end within {VERIFY_PATIENCE:.0f} s"
        else:
            reason = f"`{command}` ended with {status}" if status else ""
        finally:
            if not process.exited.done():
                await process.stop(0)
        if reason:
            output.seek(max(0, os.fstat(output.fileno()).st_size - OUTPUT))  # it may have printed without end
            lines = output.read().decode(errors="replace").splitlines()[-LOG_LINES:]
            raise _verify_failed(address, reason, log=lines)


async def _ensure_group(project: Project, request: StartRequest) -> GroupRecord:
    spec = request.spec
    address = spec.address
    environment = project.state.environment(address.environment)
    group = environment.groups.get(address)
    if group is not None and group.spec.identity != spec.identity:
        raise StepFailed(
            f"cannot start {address.component}",
            f"{address} is there with another release, settings or environment variables.",
            component=address.component,
            hint="Retire it first.",
        )
    _check_replicas(request)
    _check_resources(environment, request)
    _check_writers(environment, spec)
    if group is None:
        edges = {need: edge_name(address, need) for need in request.edges}
        ports = project.registry.take(edges.values())
        group = GroupRecord(
            spec,
            request.replicas,
            edges={need: Pointer(ports[name], request.edges[need]) for need, name in edges.items()},
        )
        environment.groups[address] = group
    if not spec.worker and not any(entry.to == address for entry in environment.entries.values()):
        name, entry = candidate_name(address), entry_name(address.environment, address.component)
        ports = project.registry.take([name, entry])
        group.candidate = ports[name]
        if address.component not in environment.entries:
            environment.reserved[address.component] = ports[entry]
    group.replicas = max(group.replicas, request.replicas)
    project.values[address] = dict(request.values)
    if spec.data:
        make_own(Path(spec.data))
    if request.settings is not None and spec.settings:
        await asyncio.to_thread(_write_settings, Path(spec.settings), request.settings)
    project.save()
    return group


def _unborn(project: Project, group: GroupRecord) -> None:
    """Take back a group whose listeners the gateway refused, or no other change would be accepted either."""
    address = group.address
    environment = project.state.environment(address.environment)
    del environment.groups[address]
    names = [candidate_name(address), *(edge_name(address, need) for need in group.edges)]
    others = any(other.component == address.component for other in environment.groups)
    if not others and environment.reserved.pop(address.component, 0):
        names.append(entry_name(address.environment, address.component))
    project.registry.give_back(names)
    project.drop(address)
    project.changed()


def _check_replicas(request: StartRequest) -> None:
    spec = request.spec
    if request.replicas <= 1 or (spec.port is None and not spec.data):
        return
    component = spec.address.component
    what, instead = f"It listens on the fixed port {spec.port}", "Let it listen on $PORT and remove `port:`, or set"
    if spec.data:
        what, instead = "It is the only writer of its data folder", "Set"
    raise StepFailed(
        f"cannot start {component}",
        f"{what}, and {request.replicas} instances are wanted.",
        component=component,
        hint=f"{instead} `replicas: 1`.",
    )


def _check_resources(environment: EnvironmentRecord, request: StartRequest) -> None:
    missing = [name for name in request.spec.resources if name not in environment.resources]
    if missing:
        address = request.spec.address
        raise StepFailed(
            f"cannot start {address.component}",
            f"It uses {', '.join(missing)}, and nothing provides that in {address.environment}.",
            component=address.component,
            hint=f"Provide it first: tidegate up {address.environment}",
        )


def _check_writers(environment: EnvironmentRecord, spec: GroupSpec) -> None:
    """Whatever was planned, a data folder has one writer."""
    address = spec.address
    for other in environment.groups.values():
        same = other.address.component == address.component and other.address != address
        if spec.data and same and (other.replicas or other.instances):
            raise StepFailed(
                f"cannot start {address.component}",
                f"{other.address.name} still runs, and the data folder has one writer.",
                component=address.component,
                hint="Stop it first: what has data is replaced, never run twice.",
            )


def _write_settings(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_suffix(".new")
    staged.write_text(content)
    staged.replace(file)


def _ensure_instances(project: Project, group: GroupRecord, replicas: int) -> list[Instance]:
    missing = [index for index in range(replicas) if index not in group.instances]
    names = {index: instance_name(group.address, index) for index in missing}
    if group.spec.worker:
        ports = dict.fromkeys(names.values(), 0)
    elif group.spec.port is None:
        ports = project.registry.take(names.values())
    else:
        ports = dict.fromkeys(names.values(), group.spec.port)
        try:
            for name in names.values():
                project.registry.take_fixed(name, group.spec.port)
        except TargetError as error:
            raise StepFailed(
                f"cannot start {group.address.component}",
                f"{error.summary}: {error.detail}",
                component=group.address.component,
                hint=error.hint,
            ) from error
    for index, name in names.items():
        group.instances[index] = InstanceRecord(index, ports[name])
    return [project.instance(group, group.instances[index]) for index in sorted(group.instances)]


def _failure(group: GroupRecord) -> Failure:
    def failed(instance: Instance, reason: str, log: Sequence[str], hint: str) -> StepFailed:
        component = group.address.component
        return StepFailed(
            f"cannot start {component}",
            reason,
            component=component,
            instance=instance.name,
            log=log,
            hint="\n".join([f"All of its output is in {instance.log.path}", *([hint] if hint else [])]),
        )

    return failed


def _verify_failed(address: GroupAddress, detail: str, *, log: list[str] | None = None, hint: str = "") -> StepFailed:
    return StepFailed(
        f"cannot verify {address.component}",
        detail,
        component=address.component,
        instance=address.name,
        log=log or (),
        hint=hint,
    )


def _address(project: Project, group: GroupRecord) -> int:
    """The port the group can be looked at: its own before it has an entry, the entry's after."""
    if group.candidate:
        return group.candidate
    environment = project.state.environment(group.address.environment)
    for entry in environment.entries.values():
        if entry.to == group.address:
            return entry.port
    raise _verify_failed(group.address, f"{group.address.name} has no address.", hint="Start it again.")
