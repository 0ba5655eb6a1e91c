"""Which pins an environment shall have after a command."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tidegate.errors import UnsafePlan
from tidegate.model.component import Release
from tidegate.model.pins import Pins


def wanted_by_up(
    current: Pins,
    checkout: Pins,
    releases: Mapping[str, Release],
    *,
    only: Collection[str] = (),
    with_needs: bool = False,
    remove: Collection[str] = (),
) -> Pins:
    """The pins after `up`: those of this checkout replace the current ones, everything else stays.

    `only` narrows to some components (plus all that they need, in turn, with `with_needs`); `remove` takes
    components away. Raises `UnsafePlan` for a component that the checkout or the environment does not have.
    """
    chosen = set(only) or set(checkout)
    for component in sorted(chosen - set(checkout)):
        raise UnsafePlan(f"cannot choose {component}", "This checkout has no such component in this environment.")
    if with_needs:
        waiting = list(chosen)
        while waiting:
            for need in releases[checkout[waiting.pop()].release].runtime.needs:
                if need in checkout and need not in chosen:
                    chosen.add(need)
                    waiting.append(need)
    for component in sorted(set(remove) - set(current)):
        raise UnsafePlan(
            f"cannot remove {component}", "It is not in this environment.", hint="`tidegate status` shows what is."
        )
    pins = {name: pin for name, pin in current.items() if name not in remove}
    pins.update({name: checkout[name] for name in chosen if name not in remove})
    return pins
