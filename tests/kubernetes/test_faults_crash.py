"""An executor is killed anywhere on its way through a change of four services, a worker and a migration: the next
command finds all at the new revision or all at the parent, and leaves no object over."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.forks import ended, fork
from tests.faults.points import Points, at
from tests.faults.scenes import LAST, VICTIM
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.shops import NOTHING_HAPPENED, PROCESS, Shop

Record = Callable[[str, object], None]
SHARES = 2  # namespaces side by side
SAMPLE = 8  # points that are tried by default
MANY = 8  # shares of all points


@pytest.fixture(autouse=True)
def in_time() -> None:
    """Every process and every wait has its own limit here; all together they may take as long as they need."""


@pytest.fixture
def shop(cluster: Cluster, namespace_name: str, tmp_path: Path) -> Shop:
    """In which version 1 runs."""
    made = Shop(cluster, namespace_name, tmp_path)
    made.begin()
    return made


class Fatal:
    """Kills its process at one moment, and leaves a note of where that was."""

    def __init__(self, folder: Path, point: int) -> None:
        self._note = folder / "died"
        self._fatal = at(point)
        self._note.unlink(missing_ok=True)

    def __call__(self, number: int, name: str) -> bool:
        if self._fatal(number, name):
            self._note.write_text(name)
        return self._fatal(number, name)

    @property
    def where(self) -> str:
        """What was happening; "" if it was not killed."""
        return self._note.read_text() if self._note.exists() else ""


def length(shop: Shop) -> int:
    """How many points the way from version 1 to 2 has; version 2 runs then."""
    passed = shop.folder / "passed"

    def count(number: int, _name: str) -> bool:
        passed.write_text(str(number))
        return False

    assert shop.change(VICTIM, 2, Points(count)) == NOTHING_HAPPENED
    assert shop.settled(2) == 2
    return int(passed.read_text())


def killed(shop: Shop, current: int, wanted: int, point: int, *, again: int = 0) -> int | None:
    """The version that is there after an executor was killed at this point, and, if that is not 0, whoever came to
    settle it `again` points later; None if it came to its end before."""
    fatal = Fatal(shop.folder, point)
    status = shop.change(VICTIM, wanted, Points(fatal))
    if again and status == -signal.SIGKILL:
        ended(fork(shop.doing(LAST, lambda hands: hands.recover(), Points(at(again))), patience=PROCESS))
    try:
        version = shop.settled(current, wanted)
    except AssertionError as error:
        raise AssertionError(f"killed {fatal.where or 'nowhere'}, point {point}, {again}: {error}") from error
    if status == NOTHING_HAPPENED:
        return None
    assert status == -signal.SIGKILL, f"point {point}"
    return version


@pytest.mark.parametrize("share", range(SHARES))
def test_wherever_an_executor_is_killed_the_next_command_settles_it(
    shop: Shop, share: int, record_property: Record
) -> None:
    """At points spread over all of the way; now and then whoever settles it is killed too."""
    whole = length(shop)
    current, tried = 2, 0
    for place in range(share, SAMPLE, SHARES):
        point = whole * (2 * place + 1) // (2 * SAMPLE) + 1
        version = killed(shop, current, tried + 3, point, again=(5 + 3 * place) * (place % 3 == 1))
        current = version or tried + 3
        tried += version is not None
    assert tried >= SAMPLE // SHARES - 1, "a change that came to its end before the last point is no loss; two are"
    record_property("tried: crash anywhere, on a cluster, points", tried)


@pytest.mark.exhaustive
@pytest.mark.parametrize("share", range(MANY))
def test_wherever_at_all_an_executor_is_killed_the_next_command_settles_it(
    shop: Shop, share: int, record_property: Record
) -> None:
    """Before and after every write to the store and every request that changes something."""
    current, tried, point = 1, 0, 1 + share
    while (version := killed(shop, current, tried + 2, point)) is not None:
        current, point, tried = version, point + MANY, tried + 1
    record_property("tried: crash anywhere, on a cluster, all points", tried)
