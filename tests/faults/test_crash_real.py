"""The same on this machine: executors, the agent, the gateway and instances are killed while four services and a worker
change."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import anyio
import pytest

from tests.faults.forks import run
from tests.faults.points import Points, at, called
from tests.faults.real import Shop, shop
from tests.faults.scenes import NEXT, VICTIM, Hands
from tidegate.execution import Fate

pytestmark = [pytest.mark.gateway]
Record = Callable[[str, object], None]
NOTHING_HAPPENED = 3  # exit status of an executor that never came to its fatal point
CHOSEN = ["after Start b", "before Replace w", "after Route", "before commit", "after commit", "after Retire c"]


@pytest.fixture
def made() -> Iterator[Shop]:
    """A project in which version 1 runs."""
    with shop() as found:
        yield found


def killing(made: Shop, what: str) -> Callable[[int], None]:
    """Kill it; of the instances a different one at each point."""

    def kill(point: int) -> None:
        match what:
            case "executor":
                pid = os.getpid()
            case "agent":
                pid = made.agent()
            case "gateway":
                pid = made.gateway()
            case _:
                pids = made.instances()
                pid = pids[point % len(pids)]
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return kill


def change(made: Shop, current: int, wanted: int, points: Points) -> tuple[int, int]:
    """An executor on its way to a version, to which something happens; then the next command. How the executor ended,
    and the version that is there in the end."""
    made.version(wanted)

    async def up(hands: Hands) -> None:
        applied = await hands.apply(made.version(wanted))
        assert all(result.fate is not Fate.UNSETTLED for result in applied.changes), applied
        if not points.ended:
            os._exit(NOTHING_HAPPENED)

    status = run(made.doing(VICTIM, up, points))
    found: list[int] = []

    async def settle(hands: Hands) -> None:
        await hands.recover()
        found.append(await made.rests(hands, current, wanted))

    anyio.run(made.doing(NEXT, settle))
    return status, found[0]


def test_an_executor_that_is_killed_leaves_all_at_one_version(made: Shop) -> None:
    """At some moments of many."""
    current = 1
    for place, moment in enumerate(CHOSEN):
        status, current = change(made, current, place + 2, Points(called(moment)))
        assert status == -signal.SIGKILL, f"nobody came to {moment}"


@pytest.mark.parametrize("what", ["agent", "gateway", "instance"])
def test_what_dies_beside_an_executor_leaves_all_at_one_version(made: Shop, what: str) -> None:
    """It goes on, or puts everything back."""
    current = 1
    for place, moment in enumerate(["after Start b", "after Route"]):
        status, current = change(made, current, place + 2, Points(called(moment), killing(made, what)))
        assert status == 0, f"nobody came to {moment}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("what", ["executor", "agent", "gateway", "instance"])
def test_whatever_dies_wherever_leaves_all_at_one_version(
    made: Shop, what: str, share: int, record_property: Record
) -> None:
    """Before and after every write and every step, each time on the way to one more version."""
    current, point, tried = 1, 1 + share, 0
    while True:
        status, current = change(made, current, tried + 2, Points(at(point), killing(made, what)))
        if status == NOTHING_HAPPENED:
            break
        assert status == (-signal.SIGKILL if what == "executor" else 0)
        point += 2
        tried += 1
    record_property(f"tried: {what} killed anywhere, real processes, points", tried)
