"""How a target differs from what is pinned, in words."""

from __future__ import annotations

from tidegate.model.component import Kind, RunKind
from tidegate.model.digest import short
from tidegate.model.observed import InstanceState
from tidegate.model.pins import Pin, Resource
from tidegate.planning.runs import is_due, to_revert
from tidegate.planning.scene import Scene


def drift(scene: Scene, name: str) -> list[str]:
    """What of a component is not as it is wanted, apart from a difference of its pins."""
    why = []
    if scene.taken_back:
        why = [f"`before` of {short(run.address.release)} is to be taken back" for run in to_revert(scene, name)]
    pin = scene.wanted.get(name)
    if pin is None:
        why += [f"{group.address.name} still runs" for group in scene.groups.get(name, ())]
        return why or ["its entry is still there"] * (name in scene.observed.entries)
    release = scene.releases[pin.release]
    if release.runtime.after is not None and is_due(scene, name, RunKind.AFTER):
        why.append("its `after` has not run")
    if release.kind is not Kind.TASK:
        why += _of_group(scene, name, pin, release.kind)
        if pin.shape.resources:
            why += [f"resource {resource} does not run" for resource, _ in missing_resources(scene, pin)]
    if len(scene.groups.get(name, ())) > 1 or name not in scene.chosen:
        why += [f"{other.address.name} is left over" for other in scene.others(name)]
    return why


def missing_resources(scene: Scene, pin: Pin) -> list[tuple[str, Resource]]:
    """Those of a pin's resources that do not run here, or not as they are wanted."""
    missing = []
    for name, resource in pin.shape.resources:
        seen = scene.observed.resources.get(name)
        if seen is None or seen.identity != resource.identity or seen.state is not InstanceState.HEALTHY:
            missing.append((name, resource))
    return missing


def _of_group(scene: Scene, name: str, pin: Pin, kind: Kind) -> list[str]:
    group = scene.chosen.get(name)
    if group is None:
        return ["no group of it runs"]
    why = []
    if group.replicas != pin.shape.replicas:
        why.append(f"{group.address.name} has {group.replicas} instances of {pin.shape.replicas}")
    elif group.healthy < group.replicas:
        why.append(f"{group.healthy} of {group.replicas} instances of {group.address.name} are healthy")
    if scene.observed.entries.get(name) != (group.address if kind is Kind.SERVICE else None):
        why.append("its entry leads elsewhere")
    address = group.address
    why.extend(
        f"the edge of {other.address.name} leads elsewhere"
        for other in scene.dependents.get(name, ())
        if other.edges[name] != address
    )
    return why
