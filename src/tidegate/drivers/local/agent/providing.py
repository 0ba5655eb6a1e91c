"""Provide and Withdraw: what the environment runs for its components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidegate.drivers.local.agent.instance import Instance
from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.state import InstanceRecord, ResourceRecord
from tidegate.drivers.local.agent.waiting import Failure, until_healthy
from tidegate.drivers.local.folders import make_own
from tidegate.drivers.local.protocol import ResourceSpec
from tidegate.errors import StepFailed


async def provide(project: Project, spec: ResourceSpec) -> None:
    """The resource runs as `spec` says and is healthy; one that runs otherwise is stopped first.

    Raises `StepFailed` when it ends, or is not healthy in time; it stays as it is.
    """
    async with project.lock((spec.environment, spec.name)):
        resources = project.state.environment(spec.environment).resources
        record = resources.get(spec.name)
        if record is not None and record.spec.identity != spec.identity:
            await project.see_through(_stop(project, record))
            record = None
        if record is None:
            name = resource_name(spec.environment, spec.name)
            port = project.registry.take([name])[name]
            make_own(Path(spec.folder))
            record = resources[spec.name] = ResourceRecord(spec, InstanceRecord(0, port))
            project.save()
        resource = project.resource(record)
        exits = {resource.name: resource.exits}
        await resource.ensure()
        await until_healthy(project, [resource], exits, _failure(spec), movable=False)


async def withdraw(project: Project, environment: str, resource: str) -> None:
    """The resource does not run; data and port stay its own. Harmless when it never was."""
    async with project.lock((environment, resource)):
        record = project.state.environment(environment).resources.get(resource)
        if record is not None:
            await project.see_through(_stop(project, record))


async def _stop(project: Project, record: ResourceRecord) -> None:
    environment, name = record.spec.environment, record.spec.name
    await project.resource(record).stop()
    del project.resources[environment, name]
    resources = project.state.environment(environment).resources
    del resources[name]
    try:
        project.save()
    except OSError:  # it is there until that is written down
        resources[name] = record
        raise


def _failure(spec: ResourceSpec) -> Failure:
    def failed(resource: Instance, reason: str, log: Sequence[str], hint: str) -> StepFailed:
        return StepFailed(
            f"cannot provide {spec.name}",
            reason,
            component=spec.name,
            instance=resource.name,
            log=log,
            hint="\n".join([f"All of its output is in {resource.log.path}", *([hint] if hint else [])]),
        )

    return failed


def resource_name(environment: str, resource: str) -> str:
    """The name of a resource's port in the registry."""
    return f"{environment}/resource/{resource}"
