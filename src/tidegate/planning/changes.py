"""Which components differ, and how the differences fall apart into changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.model.address import GroupAddress
from tidegate.model.component import Release
from tidegate.model.observed import Observed, ObservedGroup
from tidegate.model.pins import Pin, Pins, Value


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one planning looks at, indexed once: groups by component, dependents by need.

    `chosen` holds, per wanted component, the running group that can be used again, if there is one.
    """

    current: Pins
    wanted: Pins
    observed: Observed
    releases: Mapping[str, Release]
    groups: Mapping[str, tuple[ObservedGroup, ...]]
    chosen: Mapping[str, ObservedGroup]
    dependents: Mapping[str, tuple[ObservedGroup, ...]] = field(default_factory=dict)

    def needs(self, pin: Pin) -> tuple[str, ...]:
        """What the release of this pin needs."""
        return self.releases[pin.release].runtime.needs


def look(current: Pins, wanted: Pins, observed: Observed, releases: Mapping[str, Release]) -> Scene:
    """Index what was observed and choose the groups that are used again."""
    groups: dict[str, list[ObservedGroup]] = {}
    for group in observed.groups.values():
        groups.setdefault(group.address.component, []).append(group)
    for several in groups.values():
        several.sort(key=lambda group: group.address.born)
    chosen: dict[str, ObservedGroup] = {}
    for component, pin in wanted.items():
        fitting = [group for group in groups.get(component, ()) if group.identity == pin.identity]
        if len(fitting) > 1:
            entry = observed.entries.get(component)
            fitting.sort(key=lambda group: (group.address == entry, group.healthy, group.address.born))
        if fitting:
            chosen[component] = fitting[-1]
    dependents: dict[str, list[ObservedGroup]] = {}
    for group in chosen.values():
        for need in group.edges:
            dependents.setdefault(need, []).append(group)
    return Scene(
        current=current,
        wanted=wanted,
        observed=observed,
        releases=releases,
        groups={name: tuple(found) for name, found in groups.items()},
        chosen=chosen,
        dependents={name: tuple(found) for name, found in dependents.items()},
    )


def differences(scene: Scene, scope: Collection[str] | None) -> dict[str, tuple[str, ...]]:
    """Component -> in words, why it differs. Only those of `scope`, if given."""
    names: Iterable[str] = (
        scene.current.keys() | scene.wanted.keys() | scene.groups.keys() | scene.observed.entries.keys()
    )
    if scope is not None:
        names = [name for name in names if name in scope]
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        old, new = scene.current.get(name), scene.wanted.get(name)
        why = [] if old == new else _between(old, new)
        if old == new or old is None or new is None:
            why += _drift(scene, name, new)
        if why:
            found[name] = tuple(why)
    return found


def connected(scene: Scene, names: Iterable[str]) -> list[tuple[str, ...]]:
    """The differing components in parts that are connected by needs (of the old or the new release); sorted."""
    parts: dict[str, str] = {name: name for name in names}

    def root(name: str) -> str:
        while parts[name] != name:
            parts[name] = parts[parts[name]]
            name = parts[name]
        return name

    for name in parts:
        for pins in (scene.current, scene.wanted):
            pin = pins.get(name)
            for need in scene.needs(pin) if pin else ():
                if need in parts:
                    parts[root(name)] = root(need)
    grouped: dict[str, list[str]] = {}
    for name in sorted(parts):
        grouped.setdefault(root(name), []).append(name)
    return sorted(tuple(part) for part in grouped.values())


def _between(old: Pin | None, new: Pin | None) -> list[str]:
    if old is None:
        return ["comes"]
    if new is None:
        return ["goes"]
    why = []
    if old.release != new.release:
        why.append("release changes")
    if old.settings != new.settings:
        why.append("settings change")
    if old.shape.replicas != new.shape.replicas:
        why.append(f"replicas {old.shape.replicas} → {new.shape.replicas}")
    if old.shape.exposed != new.shape.exposed:
        why.append("is exposed" if new.shape.exposed else "is no longer exposed")
    if old.shape.env != new.shape.env:
        why.append("env: " + ", ".join(_names_changed(old.shape.env, new.shape.env)))
    return why


def _names_changed(old: tuple[tuple[str, Value], ...], new: tuple[tuple[str, Value], ...]) -> list[str]:
    return sorted({name for name, _ in set(old) ^ set(new)})


def _drift(scene: Scene, name: str, pin: Pin | None) -> list[str]:
    """In words, how the target differs from `pin` (None: nothing of it shall be there)."""
    groups = scene.groups.get(name, ())
    entries = scene.observed.entries
    if pin is None:
        return [f"{group.address.name} still runs" for group in groups] or (
            ["its entry is still there"] if name in entries else []
        )
    group = scene.chosen.get(name)
    why: list[str] = []
    if group is None:
        why.append("no group of it runs")
    else:
        if group.replicas != pin.shape.replicas:
            why.append(f"{group.address.name} has {group.replicas} instances of {pin.shape.replicas}")
        elif group.healthy < group.replicas:
            why.append(f"{group.healthy} of {group.replicas} instances of {group.address.name} are healthy")
        if entries.get(name) != group.address:
            why.append("its entry leads elsewhere")
        why += [
            f"the edge of {other.address.name} leads elsewhere"
            for other in scene.dependents.get(name, ())
            if other.edges[name] != group.address
        ]
    why += [f"{other.address.name} is left over" for other in groups if other is not group]
    return why


def target_of(scene: Scene, name: str, part: Collection[str], number: int) -> GroupAddress | None:
    """The group that answers for a component once a change with this number and these components is switched."""
    if name not in scene.wanted:
        return None
    if name in scene.chosen:
        return scene.chosen[name].address
    if name in part:
        return GroupAddress(scene.observed.environment, name, number)
    return scene.observed.entries.get(name)
