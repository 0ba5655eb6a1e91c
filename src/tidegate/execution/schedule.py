"""Runs steps in the order of their graph, everything independent at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from tidegate.model.plan import PlannedStep


async def in_order(steps: Sequence[PlannedStep], run: Callable[[PlannedStep], Awaitable[None]]) -> None:
    """Run each step as soon as those it comes after are done; `after` ids that are not among `steps` count as done.

    The first error cancels the others and is raised, bare, not as a group.
    """
    ids = {planned.id for planned in steps}
    waiting = {planned.id: ids.intersection(planned.after) for planned in steps}
    followers: dict[str, list[PlannedStep]] = {}
    for planned in steps:
        for name in waiting[planned.id]:
            followers.setdefault(name, []).append(planned)

    async def run_one(planned: PlannedStep) -> None:
        await run(planned)
        for follower in followers.get(planned.id, ()):
            waiting[follower.id].discard(planned.id)
            if not waiting[follower.id]:
                group.start_soon(run_one, follower)

    try:
        async with anyio.create_task_group() as group:
            for planned in steps:
                if not waiting[planned.id]:
                    group.start_soon(run_one, planned)
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a group; nested groups are looked into."""
    for failure in failures.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    return failures
