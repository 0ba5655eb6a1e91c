"""What apply costs beside the work itself: 500 connected components on the simulated target, in real time.

The floor is the critical path of the plan: the longest chain of steps, phase after phase, with the same durations.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import anyio

from bench.planning import fleet
from bench.table import Row, show
from tidegate.execution import Executor
from tidegate.model.observed import Observed
from tidegate.model.plan import Change, Phase, Plan
from tidegate.model.step import Observe, Prepare, Retire, Start, Step
from tidegate.planning import Policy, make_plan
from tidegate.stores.sql import SqlStore
from tidegate.testing.simulated import SimulatedTarget

COMPONENTS = 500


class RealClock:
    """Waits for real."""

    def now(self) -> float:
        """As `Clock.now`."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await anyio.sleep(seconds)


def durations(plan: Plan) -> dict[str, float]:
    """Step id -> seconds: artifacts are checked in tenths, groups start in seconds, as programs do."""
    chance = random.Random(11)
    spans = {Prepare: (0.05, 0.2), Start: (0.5, 2.5), Retire: (0.2, 1.0)}
    found = {}
    for change in plan.changes:
        for planned in change.steps:
            low, high = spans.get(type(planned.step), (0.05, 0.1))
            found[planned.id] = 1.0 if isinstance(planned.step, Observe) else chance.uniform(low, high)
    return found


def critical_path(change: Change, seconds: dict[str, float]) -> float:
    """Seconds of the longest chain of each phase, added up."""
    total = 0.0
    for phase in Phase:
        ends: dict[str, float] = {}
        waiting = [planned for planned in change.steps if planned.phase is phase]
        ids = {planned.id for planned in waiting}
        while waiting:
            for planned in list(waiting):
                before = [name for name in planned.after if name in ids]
                if all(name in ends for name in before):
                    ends[planned.id] = seconds[planned.id] + max((ends[name] for name in before), default=0.0)
                    waiting.remove(planned)
        total += max(ends.values(), default=0.0)
    return total


async def measure(folder: Path) -> tuple[float, float, int]:
    """(makespan, critical path, steps) in seconds."""
    releases, _, wanted = fleet(COMPONENTS)
    plan = make_plan(
        environment="bench",
        parent=0,
        number=1,
        current={},
        wanted=wanted,
        observed=Observed("bench"),
        releases=releases,
        policy=Policy(observe=1),
    )
    seconds = durations(plan)
    by_step = {id(planned.step): seconds[planned.id] for change in plan.changes for planned in change.steps}

    def duration(step: Step) -> float:
        return by_step[id(step)]

    store = SqlStore.open(folder / "store.db", RealClock())
    for release in releases.values():
        await store.put_release(release)
    target = SimulatedTarget(releases, clock=RealClock(), duration=duration)
    executor = Executor(store, target, holder="bench:1:1", by="bench", reporter=lambda _: None)
    begun = time.perf_counter()
    applied = await executor.apply(plan, releases)
    makespan = time.perf_counter() - begun
    await store.close()
    if not applied.succeeded:
        raise RuntimeError(str([result.failure for result in applied.changes]))
    longest = max(critical_path(change, seconds) for change in plan.changes)
    return makespan, longest, sum(len(change.steps) for change in plan.changes)


def rows() -> list[Row]:
    """Makespan ÷ critical path."""
    with tempfile.TemporaryDirectory() as folder:
        makespan, longest, steps = anyio.run(measure, Path(folder))
    against = f"critical path {longest:.1f} s; makespan {makespan:.1f} s; {steps} steps, each journalled twice (SQLite)"
    return [Row(f"{COMPONENTS} components: makespan ÷ critical path", makespan / longest, "×", against, 1.05)]


def main() -> None:
    """Print makespan ÷ critical path."""
    show("Apply", rows())


if __name__ == "__main__":
    main()
