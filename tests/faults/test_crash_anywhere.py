"""An executor is killed at every point of its way: the next command finds all at the new revision or all at the parent,
and leaves nothing over."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.faults.forks import run
from tests.faults.points import Points, at
from tests.faults.rest import check_rest
from tests.faults.scenes import LAST, NEXT, VICTIM, Hands, Work, chain, executing, mixed_chain
from tidegate.execution import Fate

WORKS = {"four services": chain, "four services, migrations, a worker": mixed_chain}
SHARES = 2  # of the points of one kind of work, so that two workers can try them side by side
Record = Callable[[str, object], None]


PARTS = [
    pytest.param("four services", marks=pytest.mark.exhaustive),
    "four services, migrations, a worker",
]


@pytest.fixture(params=PARTS)
def work(request: pytest.FixtureRequest) -> Work:
    """What changes. The second has all that the first has."""
    return WORKS[request.param]()


@pytest.fixture
def before(work: Work, tmp_path: Path) -> Path:
    """A folder in which version 1 runs."""
    folder = tmp_path / "before"
    folder.mkdir()

    async def set_up(hands: Hands) -> None:
        for each in work.releases.values():
            await hands.store.put_release(each)
        assert (await hands.apply(work.versions[1])).succeeded

    anyio.run(executing(folder, work, VICTIM, Points(), set_up))
    return folder


def up(work: Work, version: int) -> Callable[[Hands], Awaitable[Any]]:
    return lambda hands: hands.apply(work.versions[version])


def copy_of(before: Path) -> Path:
    """Always at the same place."""
    folder = before.with_name("now")
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(before, folder))


def killed_at(before: Path, work: Work, point: int) -> Path | None:
    """A folder in which an executor was killed on its way from version 1 to 2; None if it came to its end before."""
    folder = copy_of(before)
    status = run(executing(folder, work, VICTIM, Points(at(point)), up(work, 2)))
    assert status in {0, -signal.SIGKILL}
    return folder if status else None


def settled(folder: Path, work: Work, *more: int) -> None:
    """Recover; then bring it to these versions."""

    async def act(hands: Hands) -> None:
        await hands.recover()
        await check_rest(hands, work)
        for version in more:
            assert all(result.fate is Fate.COMMITTED for result in (await hands.apply(work.versions[version])).changes)
            await check_rest(hands, work, may=[version])

    anyio.run(executing(folder, work, LAST, Points(), act))


def way(before: Path, work: Work) -> int:
    """How many points there are."""
    folder = copy_of(before)
    points = Points()
    anyio.run(executing(folder, work, VICTIM, points, up(work, 2)))
    return points.passed


@pytest.mark.parametrize("share", range(SHARES))
def test_wherever_an_executor_is_killed_the_next_command_settles_it(
    work: Work, before: Path, share: int, record_property: Record
) -> None:
    """Before and after every write and every effect, and in the middle of those that have one. Now and then the next
    command also goes on to the new version, or back to the old one."""
    points = range(1 + share, way(before, work) + 1, SHARES)
    for place, point in enumerate(points):
        folder = killed_at(before, work, point)
        assert folder is not None, f"it came to its end before point {point}"
        settled(folder, work, *([2, 1], [1, 2])[place // 16 % 2] * (place % 16 == 0))
    record_property("tried: crash anywhere, simulated, points", len(points))


@pytest.mark.exhaustive
@pytest.mark.parametrize("share", range(SHARES))
def test_after_a_crash_anywhere_both_versions_can_be_had(
    work: Work, before: Path, share: int, record_property: Record
) -> None:
    """The next command is an `up` of the new version, or of the old one."""
    points = range(1 + share, way(before, work) + 1, SHARES)
    for point in points:
        for next_version in (1, 2):
            folder = killed_at(before, work, point)
            assert folder is not None
            settled(folder, work, next_version)
    record_property("tried: crash anywhere and up, simulated, points", 2 * len(points))


def recovery_killed_at(folder: Path, work: Work, point: int) -> bool:
    """Whether it was; otherwise it came to its end."""
    status = run(executing(folder, work, NEXT, Points(at(point)), lambda hands: hands.recover()))
    assert status in {0, -signal.SIGKILL}
    return status != 0


@pytest.mark.parametrize("steps", [pytest.param((9, 1), marks=pytest.mark.exhaustive), (60, 7)])
@pytest.mark.parametrize("share", range(SHARES))
def test_a_recovery_that_is_killed_itself_is_done_by_the_next(
    work: Work, before: Path, share: int, steps: tuple[int, int], record_property: Record
) -> None:
    """After crashes at some points of the change, at some of its own."""
    step, pause = steps
    tried = 0
    for point in range(step - 1, way(before, work), step)[share::SHARES]:
        killed = 1
        while (folder := killed_at(before, work, point)) and recovery_killed_at(folder, work, killed):
            settled(folder, work)
            killed += pause
            tried += 1
    record_property("tried: crash while recovering, simulated, points", tried)
