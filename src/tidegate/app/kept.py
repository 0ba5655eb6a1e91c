"""What outlives releases and a plain `down`: data folders of components and of resources."""

from __future__ import annotations

from tidegate.app.planned import Planned
from tidegate.app.workspace import Workspace
from tidegate.model.component import Release
from tidegate.model.pins import Pins

HISTORY = 200  # revisions that are looked at for what may have left data


async def data_kept(workspace: Workspace, planned: Planned) -> tuple[str, ...]:
    """Names of the components and resources of an environment that have data, now or in a former revision; sorted."""
    workspace = workspace.at(planned.plan.environment)
    history = await workspace.store.history(planned.plan.environment, limit=HISTORY)
    named = {pin.release for revision in history for pin in revision.pins.values()}
    releases = {**planned.releases, **await workspace.store.releases_named(named - planned.releases.keys())}
    found = {name for revision in history for name in _with_data(revision.pins, releases)}
    return tuple(sorted(found | _with_data(planned.current, releases)))


def data_of(planned: Planned) -> tuple[str, ...]:
    """The same, of what the environment has now alone."""
    return tuple(sorted(_with_data(planned.current, dict(planned.releases))))


def _with_data(pins: Pins, releases: dict[str, Release]) -> set[str]:
    components = {name for name, pin in pins.items() if releases[pin.release].runtime.data}
    resources = {name for pin in pins.values() for name, resource in pin.shape.resources if resource.data}
    return components | resources
