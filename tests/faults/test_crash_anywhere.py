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
from tests.faults.points import Points, die
from tests.faults.rest import check_rest
from tests.faults.scenes import LAST, NEXT, VICTIM, Hands, Work, chain, executing, mixed_chain, simulated

WORKS = {"four services": chain, "all kinds": mixed_chain}
SHARES = 2  # of the points of one kind of work, so that two workers can try them side by side


@pytest.fixture(params=WORKS)
def work(request: pytest.FixtureRequest) -> Work:
    """What changes."""
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


def killed_at(before: Path, work: Work, point: int) -> Path | None:
    """A folder in which an executor was killed on its way from version 1 to 2; None if it came to its end before."""
    folder = before.with_name(f"point-{point}")
    shutil.copytree(before, folder)
    status = run(executing(folder, work, VICTIM, Points(point, die), up(work, 2)))
    assert status in {0, -signal.SIGKILL}
    return folder if status else None


def settled(folder: Path, work: Work, *more: int) -> list[int]:
    """Recover; then bring it to these versions. The version after each."""
    found: list[int] = []

    async def act() -> None:
        async with simulated(folder, work, NEXT) as hands:
            await hands.recover()
            found.append(await check_rest(hands, work))
            for version in more:
                assert (await hands.apply(work.versions[version])).succeeded
                found.append(await check_rest(hands, work, may=[version]))

    anyio.run(act)
    return found


@pytest.mark.parametrize("share", range(SHARES))
def test_an_executor_that_is_killed_anywhere_leaves_nothing_that_the_next_command_does_not_settle(
    work: Work, before: Path, share: int, record_property: Callable[[str, object], None]
) -> None:
    """Before and after every write and every effect, and in the middle of those that have one."""
    point = share + 1
    while folder := killed_at(before, work, point):
        settled(folder, work)
        shutil.rmtree(folder)
        point += SHARES
    record_property("crash anywhere: points", (point - share - 1) // SHARES)
