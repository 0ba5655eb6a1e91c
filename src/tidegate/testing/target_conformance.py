"""The promises that every target keeps, as a suite of tests.

A driver's tests subclass `TargetConformance` and provide an async fixture `harness`:

    class TestLocalTarget(TargetConformance):
        @pytest.fixture
        async def harness(self, tmp_path): ...; yield LocalHarness(...)
"""

from __future__ import annotations

import anyio
import pytest

from tidegate.errors import OldEpoch, StepFailed, TargetUnreachable
from tidegate.model.address import EdgeAddress
from tidegate.model.observed import ObservedGroup
from tidegate.model.step import EdgeMove, EntryMove, Observe, Prepare, Retire, Route, Scale, Verify
from tidegate.testing.target_conformance_replace import ReplaceConformance
from tidegate.testing.target_conformance_runs import RunsConformance
from tidegate.testing.target_stage import Behaviour, Harness, Stage, pin

__all__ = ["Behaviour", "Harness", "Stage", "TargetConformance", "pin"]


@pytest.mark.anyio
class TargetConformance(ReplaceConformance, RunsConformance):
    """Subclass it, provide `harness`; every test is a promise of the `Target` protocol."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The product runs on asyncio."""
        return "asyncio"

    @pytest.fixture
    def stage(self, harness: Harness) -> Stage:
        """The harness with moves."""
        return Stage(harness)

    async def test_an_environment_that_never_was_is_seen_as_empty(self, stage: Stage) -> None:
        """Nothing there, nothing invented."""
        observed = await stage.target.observe(stage.environment)
        assert (dict(observed.groups), dict(observed.entries)) == ({}, {})

    async def test_a_started_group_is_seen_with_its_identity_and_healthy_instances(self, stage: Stage) -> None:
        """Start returns when all instances are healthy."""
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1, replicas=2)
        seen = await stage.seen(group)
        assert seen is not None
        assert (seen.identity, seen.release, seen.replicas, seen.healthy) == (
            pin(release, replicas=2).identity,
            release.digest,
            2,
            2,
        )

    async def test_a_candidate_gets_no_traffic_until_it_is_routed(self, stage: Stage) -> None:
        """What starts is unseen."""
        old = await stage.harness.release("backend", "1")
        new = await stage.harness.release("backend", "2")
        await stage.enter(await stage.start(old, 1))
        group = await stage.start(new, 2)
        assert await stage.harness.answers("backend") == {"backend": old.digest}
        await stage.enter(group)
        assert await stage.harness.answers("backend") == {"backend": new.digest}

    async def test_starting_again_changes_nothing(self, stage: Stage) -> None:
        """A step states what shall be."""
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1)
        before = await stage.seen(group)
        await stage.start(release, 1)
        assert _without_memory(await stage.seen(group)) == _without_memory(before)

    async def test_a_group_is_born_with_its_edges_and_switches_as_a_whole(self, stage: Stage) -> None:
        """Everything new is wired to everything new before anybody sees it; going back is one switch."""
        backends = [await stage.harness.release("backend", version) for version in ("1", "2")]
        frontends = [await stage.harness.release("frontend", version, needs=("backend",)) for version in ("1", "2")]
        groups = []
        for born, (backend, frontend) in enumerate(zip(backends, frontends, strict=True), start=1):
            callee = await stage.start(backend, born)
            groups.append((callee, await stage.start(frontend, born, edges={"backend": callee})))
        for chosen in (0, 1, 0):
            await stage.enter(*groups[chosen])
            assert await stage.harness.answers("frontend") == {
                "frontend": frontends[chosen].digest,
                "backend": backends[chosen].digest,
            }

    async def test_edges_of_groups_that_stay_move_with_the_switch(self, stage: Stage) -> None:
        """A dependency that changes alone is called by the dependents that stay."""
        old = await stage.harness.release("backend", "1")
        new = await stage.harness.release("backend", "2")
        frontend = await stage.harness.release("frontend", "1", needs=("backend",))
        first = await stage.start(old, 1)
        caller = await stage.start(frontend, 1, edges={"backend": first})
        await stage.enter(first, caller)
        second = await stage.start(new, 2)
        edge = EdgeAddress(caller, "backend")
        await stage.run(Route((EntryMove("backend", second),), (EdgeMove(edge, second),)))
        assert await stage.harness.answers("frontend") == {"frontend": frontend.digest, "backend": new.digest}
        seen = await stage.seen(caller)
        assert seen is not None
        assert seen.edges["backend"] == second

    async def test_instances_are_added_by_start_and_taken_away_by_scale(self, stage: Stage) -> None:
        """The group and its address stay."""
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1)
        await stage.enter(group)
        await stage.start(release, 1, replicas=3)
        seen = await stage.seen(group)
        assert seen is not None
        assert (seen.replicas, seen.healthy) == (3, 3)
        await stage.run(Scale(group, 1))
        seen = await stage.seen(group)
        assert seen is not None
        assert (seen.replicas, seen.healthy, len(seen.instances)) == (1, 1, 1)
        assert await stage.harness.answers("backend") == {"backend": release.digest}

    async def test_a_retired_group_is_gone_and_retiring_again_is_harmless(self, stage: Stage) -> None:
        """Also for a group that never was."""
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1)
        for address in (group, group, stage.group("backend", 99)):
            await stage.run(Retire(address))
            assert await stage.seen(address) is None

    async def test_an_entry_can_be_removed(self, stage: Stage) -> None:
        """Its component is no longer seen."""
        group = await stage.start(await stage.harness.release("backend", "1"), 1)
        await stage.enter(group)
        assert (await stage.target.observe(stage.environment)).urls.keys() == {"backend"}
        await stage.run(Route((EntryMove("backend", None),)))
        observed = await stage.target.observe(stage.environment)
        assert (dict(observed.entries), dict(observed.urls)) == ({}, {})

    @pytest.mark.parametrize("behaviour", [Behaviour.EXITS, Behaviour.NEVER_HEALTHY])
    async def test_what_does_not_become_healthy_fails_with_component_and_reason(
        self, stage: Stage, behaviour: Behaviour
    ) -> None:
        """And can be retired like any other group."""
        release = await stage.harness.release("backend", "1", behaviour=behaviour)
        with pytest.raises(StepFailed) as failure:
            await stage.start(release, 1)
        assert failure.value.component == "backend"
        assert failure.value.detail
        await stage.run(Retire(stage.group("backend", 1)))
        assert await stage.seen(stage.group("backend", 1)) is None

    async def test_verify_runs_against_the_unseen_candidate(self, stage: Stage) -> None:
        """Good ones pass; a failing one names its component."""
        good = await stage.harness.release("backend", "1")
        bad = await stage.harness.release("frontend", "1", behaviour=Behaviour.FAILS_VERIFY)
        await stage.run(Verify(await stage.start(good, 1), good.digest))
        group = await stage.start(bad, 1)
        with pytest.raises(StepFailed) as failure:
            await stage.run(Verify(group, bad.digest))
        assert failure.value.component == "frontend"

    async def test_observing_passes_for_what_works(self, stage: Stage) -> None:
        """With traffic and without."""
        group = await stage.start(await stage.harness.release("backend", "1"), 1)
        await stage.enter(group)
        step = Observe((group,), ("backend",), (), 1, 100)
        await stage.run(step)
        async with stage.harness.traffic("backend"):
            await stage.run(step)

    async def test_observing_fails_for_what_breaks_under_traffic(self, stage: Stage) -> None:
        """The component at fault is named, not the one that users called."""
        bad = await stage.harness.release("backend", "1", behaviour=Behaviour.BREAKS_UNDER_TRAFFIC)
        callee = await stage.start(bad, 1)
        front = await stage.harness.release("frontend", "1", needs=("backend",))
        caller = await stage.start(front, 1, edges={"backend": callee})
        await stage.enter(callee, caller)
        step = Observe((callee, caller), ("backend", "frontend"), (EdgeAddress(caller, "backend"),), 10, 100)
        async with stage.harness.traffic("frontend"):
            with pytest.raises(StepFailed) as failure:
                await stage.run(step)
        assert failure.value.component == "backend"

    async def test_an_old_epoch_changes_nothing(self, stage: Stage) -> None:
        """A former holder of the claim cannot act, per component."""
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1)
        await stage.run(Prepare("backend", release.digest), epoch=7)
        with pytest.raises(OldEpoch):
            await stage.run(Retire(group), epoch=6)
        assert await stage.seen(group) is not None
        other = await stage.harness.release("other", "1")
        await stage.run(Prepare("other", other.digest), "other", epoch=6)

    async def test_a_cancelled_start_can_be_retired(self, stage: Stage) -> None:
        """Whatever it left is seen, and goes."""
        release = await stage.harness.release("backend", "1", behaviour=Behaviour.NEVER_HEALTHY)
        with anyio.move_on_after(0.3), pytest.raises(StepFailed):  # a target may know at once that it will fail
            await stage.start(release, 1)
        await stage.run(Retire(stage.group("backend", 1)))
        assert dict((await stage.target.observe(stage.environment)).groups) == {}

    async def test_two_groups_start_at_once(self, stage: Stage) -> None:
        """Steps of one environment do not wait for each other."""
        releases = [await stage.harness.release(name, "1") for name in ("backend", "frontend")]
        async with anyio.create_task_group() as tasks:
            for release in releases:
                tasks.start_soon(stage.start, release, 1)
        for release in releases:
            seen = await stage.seen(stage.group(release.component, 1))
            assert seen is not None
            assert seen.healthy == 1

    async def test_a_forgotten_environment_is_empty_and_can_begin_again(self, stage: Stage) -> None:
        """Numbers of epochs begin anew with it."""
        release = await stage.harness.release("backend", "1")
        stage.epoch = 5
        group = await stage.start(release, 1)
        await stage.enter(group)
        await stage.run(Route((EntryMove("backend", None),)))
        await stage.run(Retire(group))
        await stage.target.forget(stage.environment)
        observed = await stage.target.observe(stage.environment)
        assert (dict(observed.groups), dict(observed.entries)) == ({}, {})
        stage.epoch = 1
        await stage.enter(await stage.start(release, 1))
        assert await stage.harness.answers("backend") == {"backend": release.digest}

    async def test_a_target_that_cannot_see_says_so(self, stage: Stage) -> None:
        """It never reports absence instead."""
        await stage.start(await stage.harness.release("backend", "1"), 1)
        await stage.harness.blind()
        with pytest.raises(TargetUnreachable):
            await stage.target.observe(stage.environment)


def _without_memory(group: ObservedGroup | None) -> list[tuple[object, ...]]:
    """What has to be equal when nothing was changed; memory moves by itself."""
    return [(i.index, i.state, i.restarts, i.address, i.pid) for i in group.instances] if group else []
