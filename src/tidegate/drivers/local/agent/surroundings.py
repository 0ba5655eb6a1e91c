"""What processes are started with: the environment variables of groups and resources. Pure but for `remembered`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tidegate.drivers.local.agent import process
from tidegate.drivers.local.agent.state import EnvironmentRecord, GroupRecord, InstanceRecord, ResourceRecord
from tidegate.model.address import url_variable
from tidegate.model.digest import short


def of_group(environment: EnvironmentRecord, group: GroupRecord, values: Mapping[str, str]) -> dict[str, str] | str:
    """Variables that all processes of a group have, or in words why they are not known.

    `values` are the secrets' values by variable name.
    """
    spec = group.spec
    if values.keys() < spec.secrets.keys():
        return "its secrets are not known any more: start it again (tidegate up)"
    missing = [name for name in spec.resources if name not in environment.resources]
    if missing:
        return f"it uses {', '.join(missing)}, and nothing provides that"
    own = {
        "TIDEGATE_ENVIRONMENT": spec.address.environment,
        "TIDEGATE_COMPONENT": spec.address.component,
        "TIDEGATE_RELEASE": short(spec.release),
    }
    if spec.settings:
        own["TIDEGATE_SETTINGS"] = spec.settings
    if spec.data:
        own["DATA"] = spec.data
    urls = {url_variable(need): f"http://127.0.0.1:{edge.port}" for need, edge in group.edges.items()}
    return {**spec.env, **values, **urls, **resource_urls(environment, spec.resources), **own}


def of_instance(shared: dict[str, str] | str, group: GroupRecord, record: InstanceRecord) -> dict[str, str] | str:
    """All variables of one instance: those that the group has, its name, and its port if it has one."""
    if isinstance(shared, str):
        return shared
    port = {"PORT": str(record.port)} if record.port else {}
    return {**shared, **port, "TIDEGATE_INSTANCE": f"{group.address.name}.{record.index}"}


def of_resource(resource: ResourceRecord) -> dict[str, str]:
    """All variables of a resource."""
    spec = resource.spec
    data = {"DATA": spec.folder} if spec.data else {}
    place = {"HOST": "127.0.0.1", "PORT": str(resource.instance.port)}
    return {**spec.env, **data, **place, "TIDEGATE_ENVIRONMENT": spec.environment}


def resource_urls(environment: EnvironmentRecord, names: Iterable[str]) -> dict[str, str]:
    """`<NAME>_URL` for each of these resources. Raises KeyError for one that is not there."""
    return {url_variable(name): environment.resources[name].url for name in names}


def remembered(group: GroupRecord) -> Mapping[str, str]:
    """Secret values of a group that another agent started: its living instances have them.

    A program that overwrote its environment is found by the plain variables that do not fit any more.
    """
    secrets = group.spec.secrets
    for record in group.instances.values():
        if secrets and process.identity(record.pid) == record.process != "":
            found = process.environment(record.pid)
            plain = {name: value for name, value in group.spec.env.items() if name not in secrets}
            if all(found.get(name) == value for name, value in plain.items()) and secrets.keys() <= found.keys():
                return {name: found[name] for name in secrets}
    return {}
