"""Where and with what a command of a person runs inside an environment."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError, UsageError
from tidegate.model.address import GroupAddress, url_variable
from tidegate.ports.target import DescribesInstances, RunsInside, Streams, Surroundings


async def of_component(workspace: Workspace, environment: str, component: str) -> Surroundings:
    """What an instance of the group has that the component's entry leads to.

    Raises `UsageError` if nothing of it runs, `TidegateError` if the target cannot tell.
    """
    workspace = workspace.at(environment)
    group = await _group(workspace, environment, component)
    if not isinstance(workspace.target, DescribesInstances):
        raise TidegateError(f"cannot run inside {component}", "This target cannot tell how its instances are set up.")
    return await workspace.target.surroundings(group)


def elsewhere(workspace: Workspace, environment: str) -> bool:
    """Whether the instances of an environment are where a command of this machine cannot join them."""
    return isinstance(workspace.at(environment).target, RunsInside)


async def run_inside(
    workspace: Workspace, environment: str, component: str, command: Sequence[str], streams: Streams
) -> int:
    """Run a command inside an instance of the group that the component's entry leads to, and give its exit status.

    Raises `UsageError` if nothing of it runs, `TidegateError` if it cannot be run.
    """
    workspace = workspace.at(environment)
    group = await _group(workspace, environment, component)
    target = workspace.target
    assert isinstance(target, RunsInside)
    return await target.run_inside(group, command, streams)


async def _group(workspace: Workspace, environment: str, component: str) -> GroupAddress:
    """The group behind the entry of a component; of a worker, which has none, the youngest."""
    observed = await workspace.target.observe(environment)
    group = observed.entries.get(component)
    if group is None:
        own = [each for each in observed.groups.values() if each.address.component == component and each.healthy]
        group = max((each.address for each in own), key=lambda each: each.born, default=None)
    if group is None:
        workspace.check_components((component,))
        raise UsageError(
            f"cannot run inside {component}",
            f"Nothing of it runs in {environment}.",
            hint=f"`tidegate up {environment}` starts it.",
        )
    return group


async def of_environment(workspace: Workspace, environment: str) -> dict[str, str]:
    """`TIDEGATE_ENVIRONMENT`, and `<NAME>_URL` of every entry and of every resource that runs there."""
    workspace = workspace.at(environment)
    observed = await workspace.target.observe(environment)
    urls = {**{name: each.url for name, each in observed.resources.items()}, **observed.urls}
    return {
        **{url_variable(name): url for name, url in urls.items()},
        "TIDEGATE_ENVIRONMENT": environment,
    }
