"""Who may act: the youngest epoch of each component, and nobody who came before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tidegate.drivers.local.agent.project import Project
from tidegate.errors import OldEpoch
from tidegate.ports.target import Epoch


class Fence:
    """Refuses steps of an old epoch, and ends those that still run when a younger one arrives."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._running: dict[asyncio.Task[Any], Epoch] = {}

    @contextmanager
    def inside(self, epoch: Epoch) -> Iterator[None]:
        """While inside, the current task acts under this epoch.

        Raises `OldEpoch`, also in the middle when a younger epoch takes over one of the components.
        """
        seen = self._project.state.environment(epoch.environment).epochs
        self._refuse_old(epoch, seen)
        if any(seen.get(component) != epoch.number for component in epoch.components):
            former = dict(seen)
            seen.update(dict.fromkeys(epoch.components, epoch.number))
            try:
                self._project.save()
            except OSError:  # the next agent would not know it, so nobody acts under it
                seen.clear()
                seen.update(former)
                raise
        for task, other in list(self._running.items()):
            if _overtakes(epoch, other):
                task.cancel()
        current = asyncio.current_task()
        assert current is not None
        self._running[current] = epoch
        try:
            yield
        except asyncio.CancelledError:
            environment = self._project.state.environments.get(epoch.environment)
            if environment is not None:
                self._refuse_old(epoch, environment.epochs)
            raise
        finally:
            del self._running[current]

    def _refuse_old(self, epoch: Epoch, seen: dict[str, int]) -> None:
        for component in epoch.components:
            if seen.get(component, 0) > epoch.number:
                raise OldEpoch(
                    f"cannot change {component}",
                    f"Epoch {seen[component]} of {epoch.environment} has it; this command works under {epoch.number}.",
                    component=component,
                    hint="Somebody took over. Look at `tidegate status` before you go on.",
                )


def _overtakes(new: Epoch, old: Epoch) -> bool:
    return (
        new.environment == old.environment
        and new.number > old.number
        and not set(new.components).isdisjoint(old.components)
    )
