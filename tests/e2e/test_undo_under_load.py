"""What happens to visitors when a release is bad: it goes back as a whole, and only what it answered itself is lost."""

from __future__ import annotations

import pytest

from tests.e2e.checkout import Checkout, Ran
from tests.e2e.visitors import visitors
from tests.gateway.worlds import report

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

OLD = {("1", "1")}


def says_who_failed(ran: Ran) -> None:
    """The screen says that the backend is at fault, and does not accuse the frontend."""
    assert ran.status == 1, str(ran)
    screen = ran.out + ran.err
    assert "dev: backend failed" in screen, screen
    assert "put back" in screen
    assert "frontend failed" not in screen


async def rests_on(checkout: Checkout, revision: str) -> None:
    """The environment is at this revision, everything runs, nobody holds a claim, and no process is left over."""
    status = await checkout.status()
    assert status["revision"] == revision
    assert status["claims"] == []
    assert [each["state"] for each in status["components"]] == ["running", "running"]
    assert len(checkout.instances()) == 2


async def test_a_release_that_breaks_under_traffic_is_undone_with_its_group(checkout: Checkout) -> None:
    """A backend that is healthy at boot and answers 500 under traffic is released with a new frontend. Both go back;
    every failed request was answered by the broken release itself; afterwards only the old releases answer."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.environments(dev="observe: 20s")
    async with visitors(checkout.port()) as crowd:
        await crowd.come(more=20)
        checkout.relabel(2, error_every=1)
        ran = await checkout.run("up", "dev")
        before = len(crowd.answers)
        await crowd.come(more=20)
        assert crowd.labels(before) == OLD
    report(f"broken under traffic: {crowd}")
    says_who_failed(ran)
    assert "5xx" in ran.out + ran.err
    assert "ERROR: division by zero" in ran.out + ran.err
    assert {(answer.status, answer.labels) for answer in crowd.failed} == {(500, ("2", "2"))}
    assert crowd.mixed == []
    await rests_on(checkout, "dev@1")


async def test_a_release_that_never_gets_healthy_costs_no_request(checkout: Checkout) -> None:
    """Visitors never meet it; the new frontend, which was released with it, goes back too."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.service(
        "backend",
        "health: {http: /healthz, interval: 100ms, start_timeout: 1s}\ndrain: 7s",
        label=2,
        healthy_when="/nowhere",
    )
    checkout.behave("frontend", label=2)
    async with visitors(checkout.port()) as crowd:
        await crowd.come(more=20)
        ran = await checkout.run("up", "dev")
        await crowd.come(more=20)
    report(f"never healthy: {crowd}")
    says_who_failed(ran)
    assert crowd.failed == []
    assert crowd.labels() == OLD
    await rests_on(checkout, "dev@1")


async def test_a_release_that_fails_its_verification_costs_no_request(checkout: Checkout) -> None:
    """What `verify:` prints is on the screen, and visitors never met the release."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.service("backend", 'verify: "echo prices are negative; exit 3"', label=2)
    checkout.behave("frontend", label=2)
    async with visitors(checkout.port()) as crowd:
        await crowd.come(more=20)
        ran = await checkout.run("up", "dev")
        await crowd.come(more=20)
    report(f"not verified: {crowd}")
    says_who_failed(ran)
    assert "prices are negative" in ran.out + ran.err
    assert crowd.failed == []
    assert crowd.labels() == OLD
    await rests_on(checkout, "dev@1")


async def test_fewer_errors_than_allowed_do_not_undo_a_release(checkout: Checkout) -> None:
    """With `max_errors: 10%` a backend that answers one request in 20 with an error stays."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    checkout.environments(dev="observe: 2s, max_errors: 10%")
    async with visitors(checkout.port(), *["kept alive"] * 3) as crowd:
        await crowd.come(more=20)
        checkout.relabel(2, error_every=20)
        ran = await checkout.run("up", "dev")
    report(f"one error in 20: {crowd}")
    assert ran.status == 0, str(ran)
    assert {(answer.status, answer.labels) for answer in crowd.failed} == {(500, ("2", "2"))}
    await rests_on(checkout, "dev@2")


async def test_what_is_not_connected_to_the_broken_release_is_released(checkout: Checkout) -> None:
    """One `up` of three components: frontend and backend, which belong together, go back; the search, which nobody of
    them needs, is committed, and its visitors notice nothing."""
    checkout.pair()
    checkout.service("search")
    await checkout.succeed("up", "dev")
    checkout.relabel(2)
    checkout.service("backend", "verify: exit 1", label=2)
    checkout.behave("search", label=2)
    async with (
        visitors(checkout.port()) as crowd,
        visitors(checkout.port("search"), "kept alive") as others,
    ):
        await others.come(more=5)
        ran = await checkout.run("up", "dev")
        before = len(others.answers)
        await others.come(more=5)
        assert others.labels(before) == {("2",)}
    says_who_failed(ran)
    assert crowd.failed == others.failed == []
    assert crowd.labels() == OLD
    status = await checkout.status()
    assert [each["state"] for each in status["components"]] == ["running"] * 3
    assert status["claims"] == []
    assert sorted(checkout.instances().values()) == ["backend-r1.0", "frontend-r1.0", "search-r4.0"]
