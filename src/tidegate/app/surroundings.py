"""Where and with what a command of a person runs inside an environment."""

from __future__ import annotations

from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError, UsageError
from tidegate.model.address import url_variable
from tidegate.ports.target import DescribesInstances, Surroundings


async def of_component(workspace: Workspace, environment: str, component: str) -> Surroundings:
    """What an instance of the group has that the component's entry leads to.

    Raises `UsageError` if nothing of it runs, `TidegateError` if the target cannot tell.
    """
    workspace = workspace.at(environment)
    entry = (await workspace.target.observe(environment)).entries.get(component)
    if entry is None:
        workspace.check_components((component,))
        raise UsageError(
            f"cannot run inside {component}",
            f"Nothing of it runs in {environment}.",
            hint=f"`tidegate up {environment}` starts it.",
        )
    if not isinstance(workspace.target, DescribesInstances):
        raise TidegateError(f"cannot run inside {component}", "This target cannot tell how its instances are set up.")
    return await workspace.target.surroundings(entry)


async def of_environment(workspace: Workspace, environment: str) -> dict[str, str]:
    """`TIDEGATE_ENVIRONMENT`, and `<NAME>_URL` of every entry and of every resource that runs there."""
    workspace = workspace.at(environment)
    observed = await workspace.target.observe(environment)
    urls = {**{name: each.url for name, each in observed.resources.items()}, **observed.urls}
    return {
        **{url_variable(name): url for name, url in urls.items()},
        "TIDEGATE_ENVIRONMENT": environment,
    }
