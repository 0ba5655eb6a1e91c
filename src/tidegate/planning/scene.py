"""All that one planning looks at, indexed once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release
from tidegate.model.observed import Observed, ObservedGroup, ObservedRun
from tidegate.model.pins import Pin, Pins


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one planning looks at, indexed once: groups and runs by component, dependents by need.

    `chosen` holds, per wanted component, the running group that can be used again, if there is one. `taken_back` are
    releases whose `before` was run for a change that is being undone.
    """

    current: Pins
    wanted: Pins
    observed: Observed
    releases: Mapping[str, Release]
    groups: Mapping[str, Sequence[ObservedGroup]]
    chosen: Mapping[str, ObservedGroup]
    dependents: Mapping[str, Sequence[ObservedGroup]] = field(default_factory=dict)
    runs: Mapping[str, Sequence[ObservedRun]] = field(default_factory=dict)
    taken_back: frozenset[str] = frozenset()

    def needs(self, pin: Pin) -> tuple[str, ...]:
        """What the release of this pin needs."""
        return self.releases[pin.release].runtime.needs

    def kind(self, name: str) -> Kind | None:
        """What a wanted component is; None for one that is not wanted."""
        pin = self.wanted.get(name)
        return self.releases[pin.release].kind if pin else None

    def others(self, name: str) -> tuple[ObservedGroup, ...]:
        """The groups of a component that shall not be there in the end."""
        groups, stays = self.groups.get(name, ()), self.chosen.get(name)
        if len(groups) == 1 and groups[0] is stays:
            return ()
        return tuple(group for group in groups if group is not stays)


def look(
    current: Pins,
    wanted: Pins,
    observed: Observed,
    releases: Mapping[str, Release],
    taken_back: Collection[str] = (),
) -> Scene:
    """Index what was observed and choose the groups that are used again."""
    groups: dict[str, list[ObservedGroup]] = {}
    for group in observed.groups.values():
        groups.setdefault(group.address.component, []).append(group)
    for several in groups.values():
        if len(several) > 1:
            several.sort(key=lambda group: group.address.born)
    chosen: dict[str, ObservedGroup] = {}
    for component, found in groups.items():
        pin = wanted.get(component)
        if pin is None or releases[pin.release].kind is Kind.TASK:
            continue
        fitting = [group for group in found if group.identity == pin.identity]
        if len(fitting) > 1:
            entry = observed.entries.get(component)
            fitting.sort(key=lambda group: (group.address == entry, group.healthy, group.address.born))
        if fitting:
            chosen[component] = fitting[-1]
    dependents: dict[str, list[ObservedGroup]] = {}
    for group in chosen.values():
        for need in group.edges:
            dependents.setdefault(need, []).append(group)
    runs: dict[str, list[ObservedRun]] = {}
    for run in observed.runs.values():
        runs.setdefault(run.address.component, []).append(run)
    return Scene(
        current=current,
        wanted=wanted,
        observed=observed,
        releases=releases,
        groups=groups,
        chosen=chosen,
        dependents=dependents,
        runs=runs,
        taken_back=frozenset(taken_back),
    )


def target_of(scene: Scene, name: str, part: Collection[str], number: int) -> GroupAddress | None:
    """The group that answers for a component once a change with this number and these components is switched."""
    if scene.kind(name) in {None, Kind.TASK}:
        return None
    if name in scene.chosen:
        return scene.chosen[name].address
    if name in part:
        return GroupAddress(scene.observed.environment, name, number)
    return scene.observed.entries.get(name)
