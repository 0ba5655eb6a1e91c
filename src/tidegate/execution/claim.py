"""The lease of a claim, kept alive while its executor works."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from tidegate.errors import ClaimLost, StoreError
from tidegate.ports.store import Claim, Store
from tidegate.ports.target import Epoch

LEASE = 15.0  # seconds; the heartbeat renews it three times within that


def epoch_of(claim: Claim) -> Epoch:
    """What steps under this claim carry."""
    return Epoch(claim.environment, claim.epoch, claim.components, claim.plan, claim.holder)


class Lease:
    """Renews the lease in the background from `async with` on. `check` raises once the claim is lost."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._lost: ClaimLost | None = None
        self._group: TaskGroup

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._beat)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        try:
            return await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if error is not None and group.exceptions == (error,):
                raise error from None  # bare, as it was raised inside
            raise

    def check(self) -> None:
        """Raises `ClaimLost` if a renewal was refused."""
        if self._lost is not None:
            raise self._lost

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(LEASE / 3)
            try:
                self._claim = await self._store.renew(self._claim, lease=LEASE)
            except ClaimLost as error:
                self._lost = error
                return
            except StoreError:
                continue  # the store may be back before the lease runs out; the epoch protects the target meanwhile
