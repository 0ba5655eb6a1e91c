"""The promise that everything else is for, kept by the whole product: components that belong together are released
together, under load, and nobody who visits meanwhile can tell."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.checkout import Checkout
from tests.e2e.visitors import visitors
from tests.gateway.worlds import report

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

RELEASES = 10
CROSSED = 4  # during this one a slow answer and a WebSocket are under way


async def test_ten_releases_under_load_fail_no_request_and_mix_no_answer(checkout: Checkout) -> None:
    """Frontend and backend are released together ten times, by `up`, while visitors come with kept-alive
    connections, with a new one for each request, and with bodies of 20 kB. None fails, none is answered by new and
    old together. An answer that takes 5 s arrives whole from the old release; a WebSocket stays with the old release
    across the switch, and is closed with "service restart" when its time to drain is over."""
    checkout.pair("drain: 6s", dev="observe: 0s")
    await checkout.succeed("up", "dev")
    began = time.monotonic()
    async with visitors(checkout.port()) as crowd:
        await crowd.come(more=20)
        for label in range(2, 2 + RELEASES):
            checkout.relabel(label)
            if label == CROSSED:
                slow = asyncio.create_task(crowd.visit_slowly())
                talk = asyncio.create_task(crowd.talk())
                await crowd.come(more=5)
            await checkout.succeed("up", "dev")
            before = len(crowd.answers)
            await crowd.come(more=20)
            assert crowd.labels(before) <= {(str(label), str(label))}
            if label == CROSSED:
                assert (await slow).labels == (str(label - 1), str(label - 1))
                said, code = await talk
                assert said == {f"{label - 1} {label - 1}"}
                assert code == 1012
    report(f"{RELEASES} releases in {time.monotonic() - began:.1f} s: {crowd}, {len(crowd.mixed)} mixed")
    assert crowd.failed == []
    assert crowd.mixed == []
    assert crowd.labels() == {(str(label), str(label)) for label in range(1, 2 + RELEASES)}


async def test_a_backend_released_alone_fails_no_request_and_the_frontend_stays(checkout: Checkout) -> None:
    """Only the backend changes: the frontend's processes are the same, its edge leads to the new backend, and no
    request fails."""
    checkout.pair(dev="observe: 1s")
    await checkout.succeed("up", "dev")
    frontends = {pid for pid, name in checkout.instances().items() if name.startswith("frontend")}
    async with visitors(checkout.port()) as crowd:
        await crowd.come(more=20)
        for label in (2, 3):
            checkout.behave("backend", label=label)
            await checkout.succeed("up", "dev")
            before = len(crowd.answers)
            await crowd.come(more=20)
            assert crowd.labels(before) == {("1", str(label))}
    report(f"the backend alone, twice: {crowd}")
    assert crowd.failed == []
    assert crowd.labels() == {("1", "1"), ("1", "2"), ("1", "3")}
    assert {pid for pid, name in checkout.instances().items() if name.startswith("frontend")} == frontends
