"""Circles among names that lead to names: needs, `after`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cycles(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """One path a → b → a for each knot of names that lead back to themselves, beginning with its smallest name."""
    found: list[list[str]] = []
    state: dict[str, int] = {}  # 1: on the path, 2: done
    for root in sorted(graph):
        if root in state:
            continue
        path, waiting = [root], [iter(sorted(graph[root]))]
        state[root] = 1
        while waiting:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                state[path.pop()] = 2
            elif state.get(following) == 1:
                knot = path[path.index(following) :]
                turn = knot.index(min(knot))
                found.append([*knot[turn:], *knot[: turn + 1]])
            elif following not in state and following in graph:
                state[following] = 1
                path.append(following)
                waiting.append(iter(sorted(graph[following])))
    return found
