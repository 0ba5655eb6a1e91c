"""Commands that run to their end, as Jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.place import ENVIRONMENT, Place, migration, pin, place
from tidegate.drivers.kubernetes.commands import begin, command_job
from tidegate.drivers.kubernetes.job_watch import JobWatch
from tidegate.drivers.kubernetes.kinds import JOB, POD, SECRET
from tidegate.drivers.kubernetes.run_records import book
from tidegate.drivers.kubernetes.runs import Runs
from tidegate.errors import OldEpoch, StepFailed
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import Release, RunKind
from tidegate.model.observed import RunState
from tidegate.model.pins import Secret
from tidegate.model.step import Assume, Revert, Run
from tidegate.ports.target import Epoch

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    made = place(cluster.context, cluster.kubeconfig, namespace, cluster.images["base"])
    yield made
    await made.close()


@pytest.fixture
def runs(here: Place) -> Runs:
    return Runs(here.area, here.claims, here.sources)


def address(release: Release) -> RunAddress:
    return RunAddress(ENVIRONMENT, release.component, release.digest, RunKind.BEFORE)


async def state(here: Place, release: Release) -> RunState | None:
    jobs = (await here.api.list(JOB, here.area.namespace)).items
    pods = (await here.api.list(POD, here.area.namespace)).items
    seen = book(jobs, pods).known.get(address(release))
    return seen.state if seen else None


async def printed(runs: Runs, release: Release) -> list[str]:
    return [line async for line in runs.output(address(release))]


async def pod_of_the_run(here: Place, release: Release) -> str:
    """The name of its pod, once its program runs."""
    await here.area.mirror.ready()

    def running() -> str | None:
        for pod in here.area.mirror.objects(POD).values():
            if pod["status"].get("phase") == "Running":
                return str(pod["metadata"]["name"])
        return None

    found = await here.area.until(running, seconds=60)
    assert found
    return found


async def test_a_run_runs_once_taken_back_it_is_forgotten_and_what_it_printed_stays(here: Place, runs: Runs) -> None:
    """Each time it is wanted again it is harmless."""
    release = here.releases.make("backend", "1", migration("echo there", undo="echo back"))
    epoch = await here.epoch()
    for _ in range(2):
        await runs.run(Run(address(release), pin(release)), epoch)
    assert await state(here, release) is RunState.DONE
    assert await printed(runs, release) == ["there"]
    for _ in range(2):
        await runs.revert(Revert(address(release), pin(release)), epoch)
        assert await state(here, release) is None
    await runs.run(Run(address(release), pin(release)), epoch)
    assert await state(here, release) is RunState.DONE
    assert await printed(runs, release) == ["there", "back", "there"]


async def test_a_failed_run_says_why_and_may_run_again(here: Place, runs: Runs) -> None:
    """With the exit status and the last lines; the status stays known when its pod is gone."""
    release = here.releases.make("backend", "1", migration("echo begun; echo cannot go on; exit 3"))
    epoch = await here.epoch()
    for _ in range(2):
        with pytest.raises(StepFailed) as failure:
            await runs.run(Run(address(release), pin(release)), epoch)
        assert failure.value.component == "backend"
        assert failure.value.log == ("begun", "cannot go on")
        assert failure.value.detail == "`echo begun; echo cannot go on; exit 3` ended with 3"
    for pod in (await here.api.list(POD, here.area.namespace)).items:
        await here.api.delete(POD, pod["metadata"]["name"], here.area.namespace)
    jobs = (await here.api.list(JOB, here.area.namespace)).items
    assert book(jobs, ()).known[address(release)].status == 3


async def test_a_run_whose_pod_is_taken_away_counts_as_interrupted(here: Place, runs: Runs) -> None:
    """It is not run again before somebody says what became of it."""
    release = here.releases.make("backend", "1", migration("echo begun; sleep 300"))
    epoch = await here.epoch()
    step = Run(address(release), pin(release))
    running = asyncio.create_task(runs.run(step, epoch))
    pod = await pod_of_the_run(here, release)
    with pytest.raises(StepFailed, match="cannot say what became of"):
        await runs.assume(Assume(address(release), RunState.DONE), epoch)
    await here.api.delete(POD, pod, here.area.namespace)
    with pytest.raises(StepFailed, match="in the middle"):
        await running
    assert await state(here, release) is RunState.INTERRUPTED
    with pytest.raises(StepFailed) as failure:
        await runs.run(step, epoch)
    assert f"tidegate resume {ENVIRONMENT} --ran backend" in failure.value.hint
    await runs.assume(Assume(address(release), None), epoch)
    assert await state(here, release) is None
    await runs.assume(Assume(address(release), RunState.DONE), epoch)  # nothing is known to say that of
    assert await state(here, release) is None


async def test_a_run_goes_on_when_nobody_waits_and_is_waited_for_by_the_next(
    cluster: Cluster, here: Place, runs: Runs, namespace: str
) -> None:
    """It is begun once."""
    release = here.releases.make("backend", "1", migration("echo begun; sleep 3; echo ended"))
    step = Run(address(release), pin(release))
    running = asyncio.create_task(runs.run(step, await here.epoch()))
    await pod_of_the_run(here, release)
    running.cancel()
    await asyncio.wait([running])
    other = place(cluster.context, cluster.kubeconfig, namespace, cluster.images["base"])
    other.releases.known.update(here.releases.known)
    try:
        theirs = Runs(other.area, other.claims, other.sources)
        await theirs.run(step, await other.epoch(2))
        assert await printed(theirs, release) == ["begun", "ended"]
    finally:
        await other.close()


async def test_a_run_that_is_too_late_is_ended_and_leaves_its_last_words(here: Place, runs: Runs) -> None:
    """It failed: everybody saw how."""
    release = here.releases.make("backend", "1", migration("echo begun; sleep 300", timeout=4000))
    with pytest.raises(StepFailed) as failure:
        await runs.run(Run(address(release), pin(release)), await here.epoch())
    assert "did not end within 4 s" in failure.value.detail
    assert failure.value.log == ("begun",)
    assert await state(here, release) is RunState.FAILED


async def test_a_run_that_cannot_begin_says_why_and_never_was(here: Place, runs: Runs) -> None:
    """It will not begin later either."""
    release = here.releases.make("backend", "1", migration("echo there"))
    here.releases.images[release.digest] = here.releases.image.rpartition("@")[0] + "@sha256:" + "0" * 64
    with pytest.raises(StepFailed) as failure:
        await runs.run(Run(address(release), pin(release)), await here.epoch())
    assert failure.value.component == "backend"
    assert "image" in f"{failure.value.summary} {failure.value.detail}"
    assert await state(here, release) is None
    (job,) = (await here.api.list(JOB, here.area.namespace)).items
    assert job["spec"]["suspend"] is True


async def test_a_former_holder_begins_nothing(here: Place, runs: Runs) -> None:
    """Nor says what became of anything; also when it had made the Job already."""
    release = here.releases.make("backend", "1", migration("echo there"))
    old = await here.epoch(1)
    step = Run(address(release), pin(release))
    made, go_on = asyncio.Event(), asyncio.Event()
    check = here.claims.check

    async def paused(epoch: Epoch) -> None:
        if not made.is_set() and (await here.api.list(JOB, here.area.namespace)).items:
            made.set()
            await go_on.wait()
        await check(epoch)

    here.claims.check = paused  # type: ignore[method-assign]
    going = asyncio.create_task(runs.run(step, old))
    await made.wait()
    await here.epoch(2)
    go_on.set()
    with pytest.raises(OldEpoch):
        await going
    assert await state(here, release) is None
    assert (await here.api.list(POD, here.area.namespace)).items == []
    for late in (runs.run(step, old), runs.assume(Assume(address(release), RunState.DONE), old)):
        with pytest.raises(OldEpoch):
            await late


async def test_what_a_former_holder_lets_go_after_its_last_look_at_the_claim_does_not_begin(here: Place) -> None:
    """Whoever took over has touched the Job meanwhile."""
    release = here.releases.make("backend", "1", migration("echo there"))
    old = await here.epoch(1)
    await here.area.mirror.ready()
    group = GroupAddress(ENVIRONMENT, "backend", 0)
    source = await here.sources.of_group(here.area, group, pin(release), {})
    job = command_job(here.area, "late", source, "true", role="run", annotations={}, timeout=60_000, needs={})
    await begin(here.area, job, source, {})

    def settled() -> bool | None:  # nobody but the next holder touches it any more
        found = here.area.mirror.objects(JOB).get("late", {})
        return True if found.get("status", {}).get("conditions") else None

    assert await here.area.until(settled, seconds=60)
    looked = False

    async def look_and_be_late() -> None:
        nonlocal looked
        await here.claims.check(old)
        assert not looked
        looked = True
        await here.epoch(2)

    with pytest.raises(OldEpoch):
        await JobWatch(here.area).let_go("late", look_and_be_late)
    found = await here.api.get(JOB, "late", here.area.namespace)
    assert found
    assert found["spec"]["suspend"] is True


async def test_secrets_reach_the_run_and_go_with_its_job(here: Place, runs: Runs) -> None:
    """They are in no other object."""
    release = here.releases.make("backend", "1", migration("echo $PASSWORD | tr a-z A-Z"))
    wanted = pin(release, env=(("PASSWORD", Secret("env:TOKEN")),))
    await runs.run(Run(address(release), wanted), await here.epoch())
    assert await printed(runs, release) == ["S3CRET"]
    (secret,) = (await here.api.list(SECRET, here.area.namespace)).items
    (job,) = (await here.api.list(JOB, here.area.namespace)).items
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert "s3cret" not in str(job)


async def test_whoever_follows_sees_the_lines_of_a_run_as_they_come_from_its_beginning(here: Place, runs: Runs) -> None:
    """Also if it has yet to begin, until it has ended."""
    release = here.releases.make("backend", "1", migration("echo one; sleep 1; echo two"))

    async def follow() -> list[str]:
        return [line async for line in runs.output(address(release), follow=True)]

    following = asyncio.create_task(follow())
    await runs.run(Run(address(release), pin(release)), await here.epoch())
    assert await following == ["one", "two"]


async def test_what_ran_is_forgotten_when_it_is_asked_for(here: Place, runs: Runs) -> None:
    """With its Jobs."""
    release = here.releases.make("backend", "1", migration("true"))
    await runs.run(Run(address(release), pin(release)), await here.epoch())
    await runs.forget()
    assert await state(here, release) is None
