"""The promises about what has no second beside it: groups that are replaced, workers, data, resources."""

from __future__ import annotations

import anyio
import pytest

from tidegate.errors import StepFailed
from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind
from tidegate.model.observed import InstanceState, ObservedResource
from tidegate.model.pins import Resource
from tidegate.model.step import Prepare, Provide, Retire, Start, Withdraw
from tidegate.testing.target_stage import Behaviour, Stage, pin


class ReplaceConformance:
    """Part of `TargetConformance`."""

    async def test_replacing_never_runs_two_groups_at_once(self, stage: Stage) -> None:
        """The old one stays as a group without instances."""
        old = await stage.start(await stage.harness.release("backend", "1", kind=Kind.WORKER), 1, replicas=2)
        at_once = 0

        async def watch() -> None:
            nonlocal at_once
            while True:
                groups = (await stage.target.observe(stage.environment)).groups.values()
                at_once = max(at_once, sum(bool(group.instances) for group in groups))
                await anyio.sleep(0.02)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            new = await stage.replace(await stage.harness.release("backend", "2", kind=Kind.WORKER), 2, old)
            tasks.cancel_scope.cancel()
        assert at_once == 1
        assert await _running(stage) == {old: (0, 0), new: (1, 1)}

    async def test_a_replaced_group_comes_back_as_it_was(self, stage: Stage) -> None:
        """To replace it back undoes the replacement; so does to start it when the new one was retired."""
        release = await stage.harness.release("backend", "1")
        old = await stage.start(release, 1)
        await stage.enter(old)
        for born in (2, 3):
            new = await stage.replace(await stage.harness.release("backend", str(born)), born, old)
            if born == 2:
                await stage.replace(release, 1, new)
            await stage.run(Retire(new))
            await stage.start(release, 1)
            assert await _running(stage) == {old: (1, 1)}
            assert await stage.harness.answers("backend") == {"backend": release.digest}

    async def test_replacing_again_changes_nothing(self, stage: Stage) -> None:
        """A step states what shall be."""
        old = await stage.start(await stage.harness.release("backend", "1", kind=Kind.WORKER), 1)
        release = await stage.harness.release("backend", "2", kind=Kind.WORKER)
        new = await stage.replace(release, 2, old)
        before = await stage.seen(new)
        assert await stage.replace(release, 2, old, stage.group("backend", 99)) == new
        after = await stage.seen(new)
        assert before is not None
        assert after is not None
        assert [i.pid for i in after.instances] == [i.pid for i in before.instances]

    async def test_what_fails_to_replace_leaves_the_old_group_to_be_started_again(self, stage: Stage) -> None:
        """The component is named."""
        release = await stage.harness.release("backend", "1", kind=Kind.WORKER)
        old = await stage.start(release, 1)
        bad = await stage.harness.release("backend", "2", kind=Kind.WORKER, behaviour=Behaviour.EXITS)
        with pytest.raises(StepFailed) as failure:
            await stage.replace(bad, 2, old)
        assert failure.value.component == "backend"
        await stage.replace(release, 1, stage.group("backend", 2))
        await stage.run(Retire(stage.group("backend", 2)))
        assert await _running(stage) == {old: (1, 1)}

    async def test_a_worker_has_no_address(self, stage: Stage) -> None:
        """Neither as a candidate nor as an entry."""
        release = await stage.harness.release("backend", "1", kind=Kind.WORKER)
        await stage.run(Prepare("backend", release.digest))
        outcome = await stage.run(Start(stage.group("backend", 1), pin(release)))
        observed = await stage.target.observe(stage.environment)
        assert (dict(outcome.urls), dict(observed.entries), dict(observed.urls)) == ({}, {}, {})
        assert await _running(stage) == {stage.group("backend", 1): (1, 1)}

    async def test_data_outlive_releases_and_a_plain_end(self, stage: Stage) -> None:
        """They go when that is asked for."""
        old = await stage.start(await stage.harness.release("backend", "1", data=True), 1)
        await stage.harness.write("backend", "precious")
        new = await stage.replace(await stage.harness.release("backend", "2", data=True), 2, old)
        await stage.run(Retire(old))
        assert await stage.harness.read("backend") == "precious"
        await stage.run(Retire(new))
        await stage.target.forget(stage.environment)
        assert await stage.harness.read("backend") == "precious"
        await stage.target.forget(stage.environment, data=True)
        assert await stage.harness.read("backend") is None

    async def test_data_have_one_writer_whatever_was_planned(self, stage: Stage) -> None:
        """A second group of the component is not started beside the one that runs, which is named."""
        old = await stage.start(await stage.harness.release("backend", "1", data=True), 1)
        with pytest.raises(StepFailed) as failure:
            await stage.start(await stage.harness.release("backend", "2", data=True), 2)
        assert (failure.value.component, old.name in failure.value.detail) == ("backend", True)
        assert (await _running(stage))[old] == (1, 1)

    async def test_a_resource_is_provided_once_and_groups_get_its_address(self, stage: Stage) -> None:
        """It goes on when the groups that use it have gone, and is seen without them."""
        resource = stage.harness.resource()
        await _provide(stage, resource)
        seen = await _resource(stage)
        assert (seen.identity, seen.state) == (resource.identity, InstanceState.HEALTHY)
        release = await stage.harness.release("backend", "1")
        group = await stage.start(release, 1, resources={"backend-db": resource})
        await stage.enter(group)
        assert seen.url
        assert await stage.harness.given("backend", "backend-db") == seen.url
        await _provide(stage, resource)
        assert ((await _resource(stage)).pid, (await _resource(stage)).restarts) == (seen.pid, 0)

    async def test_a_resource_outlives_the_groups_that_use_it(self, stage: Stage) -> None:
        """An environment where nothing but a resource runs is not an empty one."""
        resource = stage.harness.resource()
        await _provide(stage, resource)
        seen = await _resource(stage)
        group = await stage.start(await stage.harness.release("backend", "1"), 1, resources={"backend-db": resource})
        await stage.run(Retire(group))
        assert dict((await stage.target.observe(stage.environment)).groups) == {}
        assert (await _resource(stage)).pid == seen.pid
        await stage.target.forget(stage.environment)
        assert dict((await stage.target.observe(stage.environment)).resources) == {}

    async def test_a_resource_that_was_withdrawn_keeps_its_data(self, stage: Stage) -> None:
        """Withdrawing again is harmless; provided again, also in another way, it finds them."""
        await _provide(stage, stage.harness.resource(data=True))
        await stage.harness.write("backend-db", "precious")
        for _ in range(2):
            await stage.run(Withdraw("backend-db"))
            assert dict((await stage.target.observe(stage.environment)).resources) == {}
        other = stage.harness.resource("2", data=True)
        for resource in (stage.harness.resource(data=True), other):
            await _provide(stage, resource)
            assert (await _resource(stage)).identity == resource.identity
            assert await stage.harness.read("backend-db") == "precious"
        await stage.target.forget(stage.environment, data=True)
        assert await stage.harness.read("backend-db") is None

    async def test_a_resource_that_does_not_become_healthy_fails_by_its_name(self, stage: Stage) -> None:
        """It can be withdrawn like any other."""
        with pytest.raises(StepFailed) as failure:
            await _provide(stage, stage.harness.resource(behaviour=Behaviour.EXITS))
        assert "backend-db" in failure.value.summary
        assert failure.value.detail
        await stage.run(Withdraw("backend-db"))
        assert dict((await stage.target.observe(stage.environment)).resources) == {}


async def _provide(stage: Stage, resource: Resource) -> None:
    await stage.run(Provide("backend-db", resource))


async def _resource(stage: Stage) -> ObservedResource:
    return (await stage.target.observe(stage.environment)).resources["backend-db"]


async def _running(stage: Stage) -> dict[GroupAddress, tuple[int, int]]:
    """How many instances each group shall have, and how many are healthy."""
    groups = (await stage.target.observe(stage.environment)).groups.values()
    assert all(len(group.instances) == group.replicas for group in groups)
    return {group.address: (group.replicas, group.healthy) for group in groups}
