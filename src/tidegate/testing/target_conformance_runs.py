"""The promises about commands that run to their end."""

from __future__ import annotations

import pytest

from tidegate.errors import OldEpoch, StepFailed
from tidegate.model.address import RunAddress
from tidegate.model.component import Release, RunKind
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.step import Assume, Prepare, Revert, Run
from tidegate.testing.target_stage import Stage, pin


class RunsConformance:
    """Part of `TargetConformance`."""

    async def test_a_run_runs_once_and_again_is_harmless(self, stage: Stage) -> None:
        """It is known with what it ran, apart from every other release's."""
        first, second = await stage.harness.migration("1"), await stage.harness.migration("2")
        for release in (first, first, second, first):
            await stage.run(_run(stage, release))
        assert await stage.harness.ran() == ["migrate-1", "migrate-2"]
        assert (await stage.target.observe(stage.environment)).runs == {
            _address(stage, release): ObservedRun(_address(stage, release), RunState.DONE, pin(release), 0)
            for release in (first, second)
        }

    async def test_a_failed_run_says_its_last_words_and_may_run_again(self, stage: Stage) -> None:
        """Its component is named."""
        release = await stage.harness.migration("1")
        await stage.harness.let_runs_fail(True)
        with pytest.raises(StepFailed) as failure:
            await stage.run(_run(stage, release))
        assert failure.value.component == "backend"
        assert failure.value.log == ("cannot go on",)
        assert await _state(stage, release) is RunState.FAILED
        await stage.harness.let_runs_fail(False)
        await stage.run(_run(stage, release))
        assert await _state(stage, release) is RunState.DONE
        assert await stage.harness.ran() == ["migrate-1", "migrate-1"]

    async def test_a_reverted_run_is_taken_back_and_forgotten(self, stage: Stage) -> None:
        """Harmless for one that is not known; afterwards it may run again."""
        release = await stage.harness.migration("1")
        for _ in range(2):
            await stage.run(_run(stage, release))
            for _ in range(2):
                await stage.run(Revert(_address(stage, release), pin(release)))
                assert await _state(stage, release) is None
        assert await stage.harness.ran() == ["migrate-1", "back-1"] * 2

    async def test_a_run_that_cannot_be_taken_back_stays_known(self, stage: Stage) -> None:
        """And can be reverted later."""
        release = await stage.harness.migration("1")
        await stage.run(_run(stage, release))
        await stage.harness.let_runs_fail(True)
        with pytest.raises(StepFailed) as failure:
            await stage.run(Revert(_address(stage, release), pin(release)))
        assert failure.value.log == ("cannot go on",)
        assert await _state(stage, release) is RunState.DONE
        await stage.harness.let_runs_fail(False)
        await stage.run(Revert(_address(stage, release), pin(release)))
        assert await _state(stage, release) is None

    @pytest.mark.parametrize("ran", [True, False])
    async def test_an_interrupted_run_is_not_run_again_before_somebody_says_what_became_of_it(
        self, stage: Stage, ran: bool
    ) -> None:
        """It ran: it is not run again. It did not: it is."""
        release = await stage.harness.migration("1")
        await stage.harness.interrupt(_run(stage, release))
        assert await _state(stage, release) is RunState.INTERRUPTED
        before = await stage.harness.ran()
        with pytest.raises(StepFailed):
            await stage.run(_run(stage, release))
        assert await _state(stage, release) is RunState.INTERRUPTED
        await stage.run(Assume(_address(stage, release), RunState.DONE if ran else None))
        assert await _state(stage, release) is (RunState.DONE if ran else None)
        assert await stage.harness.ran() == before
        await stage.run(_run(stage, release))
        assert await _state(stage, release) is RunState.DONE
        assert len(await stage.harness.ran()) == len(before) + (not ran)

    async def test_an_interrupted_run_that_allows_it_simply_runs_again(self, stage: Stage) -> None:
        """As its hook says."""
        release = await stage.harness.migration("1", retry=True)
        await stage.harness.interrupt(_run(stage, release))
        assert await _state(stage, release) is RunState.INTERRUPTED
        await stage.run(_run(stage, release))
        assert await _state(stage, release) is RunState.DONE

    async def test_an_abandoned_run_runs_again(self, stage: Stage) -> None:
        """Somebody gave it up, and now it is wanted after all."""
        release = await stage.harness.migration("1")
        await stage.harness.interrupt(_run(stage, release))
        await stage.run(Assume(_address(stage, release), RunState.ABANDONED))
        assert await _state(stage, release) is RunState.ABANDONED
        await stage.run(_run(stage, release))
        assert await _state(stage, release) is RunState.DONE

    async def test_a_former_holder_of_the_claim_runs_nothing(self, stage: Stage) -> None:
        """Nor does it revert, or say what became of anything."""
        release = await stage.harness.migration("1")
        await stage.run(_run(stage, release))
        await stage.run(Prepare("backend", release.digest), epoch=7)
        address = _address(stage, release)
        for step in (_run(stage, release), Revert(address, pin(release)), Assume(address, None)):
            with pytest.raises(OldEpoch):
                await stage.run(step, epoch=6)
        assert await _state(stage, release) is RunState.DONE
        assert await stage.harness.ran() == ["migrate-1"]

    async def test_what_ran_is_forgotten_with_the_data_only(self, stage: Stage) -> None:
        """It was done to the data, and they are still there."""
        release = await stage.harness.migration("1")
        await stage.run(_run(stage, release))
        await stage.target.forget(stage.environment)
        assert await _state(stage, release) is RunState.DONE
        await stage.target.forget(stage.environment, data=True)
        assert await _state(stage, release) is None


def _address(stage: Stage, release: Release) -> RunAddress:
    return RunAddress(stage.environment, release.component, release.digest, RunKind.BEFORE)


def _run(stage: Stage, release: Release) -> Run:
    return Run(_address(stage, release), pin(release))


async def _state(stage: Stage, release: Release) -> RunState | None:
    found = (await stage.target.observe(stage.environment)).runs.get(_address(stage, release))
    return found.state if found else None
