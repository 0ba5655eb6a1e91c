"""What a plan on Kubernetes has to say besides: what changes when programs run as images."""

from __future__ import annotations

from tidegate.app.workspace import Workspace
from tidegate.model.component import Kind, Release
from tidegate.model.pins import Pins

HISTORY = 50  # revisions of each environment that are looked at


async def notes(workspace: Workspace, environment: str, wanted: Pins, releases: dict[str, Release]) -> tuple[str, ...]:
    """In words; none for an environment that is not on Kubernetes."""
    workspace = workspace.at(environment)
    spec = workspace.project.environments.get(environment)
    if spec is None or spec.target.kind != "kubernetes":
        return ()
    said = []
    fresh = await _only_processes(workspace, wanted)
    if fresh:
        said.append(
            f"Ran as processes only, not yet as an image: {', '.join(fresh)}. What was seen of it there says little "
            "about the image; its evidence starts anew."
        )
    services = [name for name, pin in sorted(wanted.items()) if releases[pin.release].kind is Kind.SERVICE]
    if services and not spec.target.proxy:
        said.append(
            "No `proxy:` in the target: answers 5xx are not counted, and programs have to listen on all addresses."
        )
    return tuple(said)


async def _only_processes(workspace: Workspace, wanted: Pins) -> list[str]:
    """Components whose release an environment elsewhere ran, and none on Kubernetes did; sorted."""
    ran: dict[bool, set[str]] = {True: set(), False: set()}
    for name, spec in workspace.project.environments.items():
        if workspace.at(name).kept[0] == workspace.kept[0]:
            history = await workspace.store.history(name, limit=HISTORY)
            seen = {pin.release for revision in history for pin in revision.pins.values()}
            ran[spec.target.kind == "kubernetes"] |= seen
    return sorted(name for name, pin in wanted.items() if pin.release in ran[False] - ran[True])
