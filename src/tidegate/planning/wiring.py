"""Where entries and edges have to lead, and what has to move for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.component import Kind
from tidegate.model.observed import ObservedGroup
from tidegate.model.step import EdgeMove, EntryMove, Route
from tidegate.planning.scene import Scene


def edges_from_birth(
    scene: Scene, component: str, targets: Mapping[str, GroupAddress | None]
) -> tuple[tuple[str, GroupAddress | None], ...]:
    """Need -> group for a group that is born now: the groups of its own revision."""
    return tuple((need, targets[need]) for need in scene.needs(scene.wanted[component]))


def moves(
    scene: Scene,
    names: Sequence[str],
    targets: Mapping[str, GroupAddress | None],
    staying: Sequence[ObservedGroup] = (),
) -> Route:
    """All entries of `names`, and all edges into them of groups that stay, that do not lead where they shall.

    `staying` are groups that go only in a later wave.
    """
    entries = []
    edges = []
    for name in names:
        to = targets[name]
        if scene.kind(name) is Kind.SERVICE:
            if scene.observed.entries.get(name) != to:
                entries.append(EntryMove(name, to))
        elif name in scene.observed.entries:
            entries.append(EntryMove(name, None))
        callers = [*scene.dependents.get(name, ()), *(group for group in staying if name in group.edges)]
        edges += [EdgeMove(EdgeAddress(group.address, name), to) for group in callers if group.edges[name] != to]
    return Route(tuple(entries), tuple(edges))


def watched_edges(scene: Scene, part: Sequence[str], born: Mapping[str, GroupAddress]) -> tuple[EdgeAddress, ...]:
    """The edges of a change: those of groups born in it, and those into it of groups that stay."""
    edges = [EdgeAddress(group, need) for name, group in born.items() for need in scene.needs(scene.wanted[name])]
    edges += [EdgeAddress(group.address, name) for name in part for group in scene.dependents.get(name, ())]
    return tuple(sorted(edges))
