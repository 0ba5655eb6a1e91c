"""Which components differ, and how the differences fall apart into changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tidegate.model.cluster import ClusterShape, cluster_to_json
from tidegate.model.pins import Pin, Value
from tidegate.planning.drift import drift
from tidegate.planning.runs import to_revert
from tidegate.planning.scene import Scene


def differences(scene: Scene, scope: Collection[str] | None, held: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Component -> in words, why it differs. Only those of `scope`, if given. Of what is `held` by somebody else's
    change only the pins count: how it looks meanwhile says nothing."""
    names: Iterable[str] = (
        scene.current.keys() | scene.wanted.keys() | scene.groups.keys() | scene.observed.entries.keys()
    ) | {name for name in scene.runs if to_revert(scene, name)}
    if scope is not None:
        names = [name for name in names if name in scope]
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        old, new = scene.current.get(name), scene.wanted.get(name)
        why = [] if old == new else _between(old, new)
        if (old == new or old is None or new is None) and name not in held:
            why += drift(scene, name)
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
    if old.shape.resources != new.shape.resources:
        names = {name for name, _ in set(old.shape.resources) ^ set(new.shape.resources)}
        why.append("resources: " + ", ".join(sorted(names)))
    if old.shape.cluster != new.shape.cluster:
        why.append("kubernetes: " + ", ".join(_fields_changed(old.shape.cluster, new.shape.cluster)))
    return why


def _names_changed(old: tuple[tuple[str, Value], ...], new: tuple[tuple[str, Value], ...]) -> list[str]:
    return sorted({name for name, _ in set(old) ^ set(new)})


def _fields_changed(old: ClusterShape | None, new: ClusterShape | None) -> list[str]:
    before, after = (cluster_to_json(each) if each else {} for each in (old, new))
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def wired(scene: Scene, names: Collection[str]) -> dict[str, set[str]]:
    """For each of some components: what it needs and what needs it, by the current or the wanted pins."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for pins in (scene.current, scene.wanted):
        for name, pin in pins.items():
            needs = scene.releases[pin.release].runtime.needs
            if name in found:
                found[name].update(needs)
            for need in needs:
                if need in found:
                    found[need].add(name)
    return found
