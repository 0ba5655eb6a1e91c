"""Which pins an environment shall have after a command."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tidegate.errors import UnsafePlan
from tidegate.model.pins import Pins
from tidegate.model.plan import Change


def wanted_by_up(current: Pins, checkout: Pins, *, remove: Collection[str] = ()) -> Pins:
    """The pins after `up`: those of the checkout replace the current ones, everything else stays.

    `remove` takes components away. Raises `UnsafePlan` for one that is not there.
    """
    for component in sorted(set(remove) - set(current)):
        raise UnsafePlan(
            f"cannot remove {component}", "It is not in this environment.", hint="`tidegate status` shows what is."
        )
    return {name: pin for name, pin in {**current, **checkout}.items() if name not in remove}


def wanted_by_changes(current: Pins, changes: Iterable[Change]) -> Pins:
    """The pins after some changes are committed on top of the current ones."""
    new = {entry.component: entry.new for change in changes for entry in change.pins}
    return {name: pin for name, pin in {**current, **new}.items() if pin is not None}
