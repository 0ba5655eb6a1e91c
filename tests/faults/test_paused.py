"""An executor that is stopped for longer than its lease, and wakes up when somebody else has settled its change: it can
change nothing any more, and says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import anyio
import pytest

from tests.faults.forks import ended, fork
from tests.faults.points import Points, called
from tests.faults.real import LaterClock, Shop, shop
from tests.faults.scenes import NEXT, VICTIM, Hands
from tidegate.composition import SystemClock
from tidegate.errors import ClaimLost, OldEpoch
from tidegate.execution import Fate
from tidegate.execution.claim import LEASE
from tidegate.ports.clock import Clock

pytestmark = [pytest.mark.gateway]
MOMENTS = ["after Start b", "before Replace w", "before Route", "before commit", "after Retire c"]
LOST, OLD_EPOCH = 41, 42  # exit statuses of an executor that was told so


@pytest.fixture
def made() -> Iterator[Shop]:
    """A project in which version 1 runs."""
    with shop() as found:
        yield found


def stop(_: int) -> None:
    """Stop this process until somebody lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def paused(made: Shop, moment: str, wanted: int, clock: Clock) -> int:
    """Pause an executor, and settle its change when the lease is over by `clock`; go on to one version more, and let it
    wake up. What it was told: its exit status."""
    for number in (wanted, wanted + 1):
        made.version(number)

    async def up(hands: Hands) -> None:
        (result,) = (await hands.apply(made.version(wanted))).changes
        assert result.fate is Fate.UNSETTLED
        told = {ClaimLost: LOST, OldEpoch: OLD_EPOCH}
        os._exit(told[type(result.failure)])

    pid = fork(made.doing(VICTIM, up, Points(called(moment), stop)))
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]), f"it never came to {moment}"

    async def take_over(hands: Hands) -> None:
        hands.vanished = lambda _: False  # it is there, and does not move
        with anyio.fail_after(4 * LEASE):
            while (await hands.store.environment("dev")).claims:
                await hands.recover()
                await anyio.sleep(0.05)
        assert (await hands.apply(made.version(wanted + 1))).succeeded

    async def look(hands: Hands) -> None:
        await made.rests(hands, wanted + 1, told_once=False)

    try:
        anyio.run(made.doing(NEXT, take_over, clock=clock))
    finally:
        os.kill(pid, signal.SIGCONT)
        status = ended(pid)
    anyio.run(made.doing(NEXT, look))
    return status


def test_a_paused_executor_changes_nothing_when_it_wakes_up(made: Shop) -> None:
    """What the other did stands: the agent refuses the old epoch, the store the lost claim."""
    assert paused(made, "before Replace w", 2, LaterClock(LEASE)) == OLD_EPOCH
    assert paused(made, "before commit", 4, LaterClock(LEASE)) == LOST


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", MOMENTS)
def test_nobody_takes_over_before_the_lease_is_over(made: Shop, moment: str) -> None:
    """The same, with a lease that runs out while everybody waits."""
    assert paused(made, moment, 2, SystemClock()) == (LOST if moment == "before commit" else OLD_EPOCH)
