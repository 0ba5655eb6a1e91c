"""Several requests at once, whose errors stay what they are: nobody outside this driver looks into groups of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def side_by_side() -> AsyncIterator[TaskGroup]:
    """A task group. The first error cancels the others, and is raised by itself with its cause."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from failure.__cause__
