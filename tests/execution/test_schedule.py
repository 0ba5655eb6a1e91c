"""The scheduler's promises, in virtual time."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import StepFailed
from tidegate.execution.schedule import in_order
from tidegate.model.plan import Phase, PlannedStep
from tidegate.model.step import Prepare
from tidegate.testing.time import VirtualClock, run_virtually


def step(name: str, *after: str) -> PlannedStep:
    return PlannedStep(name, Phase.PREPARE, Prepare(name, "r"), after)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.sets(st.integers(0, 19), max_size=3)), min_size=1, max_size=20))
def test_everything_independent_runs_at_once(shape: list[tuple[int, set[int]]]) -> None:
    """The makespan is the critical path, exactly."""
    steps: list[PlannedStep] = []
    seconds: dict[str, int] = {}
    ends: dict[str, int] = {}
    for place, (duration, after) in enumerate(shape):
        names = [f"s{other}" for other in sorted(after) if other < place]
        steps.append(step(f"s{place}", *names))
        seconds[f"s{place}"] = duration
        ends[f"s{place}"] = duration + max((ends[name] for name in names), default=0)

    async def work() -> float:
        clock = VirtualClock()
        begun = clock.now()

        async def run(planned: PlannedStep) -> None:
            await clock.sleep(seconds[planned.id])

        await in_order(steps, run)
        return clock.now() - begun

    assert run_virtually(work) == pytest.approx(max(ends.values()))


def test_the_first_failure_stops_the_others_and_is_raised_bare() -> None:
    """What comes after it never begins; what runs beside it is cancelled."""
    begun, ended = [], []

    async def work() -> None:
        async def run(planned: PlannedStep) -> None:
            begun.append(planned.id)
            if planned.id == "bad":
                await anyio.sleep(1)
                raise StepFailed("cannot do it")
            await anyio.sleep(5)
            ended.append(planned.id)

        await in_order([step("bad"), step("beside"), step("later", "bad")], run)

    with pytest.raises(StepFailed, match="cannot do it"):
        run_virtually(work)
    assert (begun, ended) == (["bad", "beside"], [])


def test_steps_of_other_phases_count_as_done() -> None:
    """An order that points outside the phase holds nothing up."""
    ran = []

    async def work() -> None:
        async def run(planned: PlannedStep) -> None:
            ran.append(planned.id)

        await in_order([step("a", "elsewhere")], run)

    run_virtually(work)
    assert ran == ["a"]
