"""Run, Revert and Assume: commands that run to their end, as Jobs; those of a component one after the other.

A Job is made suspended, with everything that is to be known of the run, and let go on condition that the claim still
holds and that nobody touched the Job since. So a former holder of the claim begins nothing, there is no moment between
"noted" and "begun", and the Job goes to its end when nobody waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from tidegate.drivers.kubernetes.area import LOOK, Area
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.client import AlreadyThere, ConflictError
from tidegate.drivers.kubernetes.commands import begin, command_job
from tidegate.drivers.kubernetes.job_watch import Ended, JobWatch
from tidegate.drivers.kubernetes.kinds import JOB, POD, SERVICE
from tidegate.drivers.kubernetes.names import (
    ASSUMED,
    EPOCH,
    PIN,
    PROGRAM,
    RUN,
    RUN_ADDRESS,
    component_name,
    labels,
    to_text,
)
from tidegate.drivers.kubernetes.objects.source import GroupSource
from tidegate.drivers.kubernetes.run_records import (
    ATTEMPT,
    ENDED,
    NEVER,
    UNDOES,
    Attempt,
    Book,
    attempt_name,
    book,
    ending_to_text,
)
from tidegate.drivers.kubernetes.sources import Sources
from tidegate.errors import StepFailed, TargetError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import Hook, RunKind
from tidegate.model.encoding import pin_to_json, run_address_to_json
from tidegate.model.observed import RunState
from tidegate.model.pins import Pin
from tidegate.model.step import Assume, Revert, Run
from tidegate.ports.target import Epoch

KEPT = 20
"""So many attempts that say nothing about the present are kept per component, for what they printed."""


class Runs:
    """Runs commands to their end in one environment."""

    def __init__(self, area: Area, claims: Claims, sources: Sources) -> None:
        self._area = area
        self._claims = claims
        self._sources = sources
        self._watch = JobWatch(area)

    # Steps

    async def run(self, step: Run, epoch: Epoch) -> None:
        """See `Run`. Raises `StepFailed` with its last words, `OldEpoch`, `TargetError`."""
        run = step.run
        while True:
            found = await self._turn(run, epoch, join=True)
            record = found.known.get(run)
            if record is not None and record.state is RunState.DONE:
                return
            hook, source = await self._source(run, step.pin, "run")
            going, name = found.going, ""
            if going is not None:
                name = going.job
            elif record is not None and record.state is RunState.INTERRUPTED and not hook.retry:
                raise await self._interrupted(found, run, hook)
            else:
                name = await self._begin(found, run, source, hook, epoch, undoes=False)
            if name:
                await self._end(name, run, hook, epoch, undoes=False)
                return

    async def revert(self, step: Revert, epoch: Epoch) -> None:
        """See `Revert`. Raises `StepFailed` with the last words of the undo command; then the run stays known."""
        run = step.run
        while True:
            found = await self._turn(run, epoch, join=False)
            record = found.known.get(run)
            if record is None:
                return
            hook, source = await self._source(run, step.pin, "undo")
            if hook.undo is None:
                raise _failed("undo", run, "There is no `undo:` for it.")
            if record.state is RunState.INTERRUPTED and not hook.retry:
                raise await self._interrupted(found, run, hook)
            if name := await self._begin(found, run, source, hook, epoch, undoes=True):
                await self._end(name, run, hook, epoch, undoes=True)
                return

    async def assume(self, step: Assume, epoch: Epoch) -> None:
        """See `Assume`. Raises `StepFailed` while it runs."""
        run, area = step.run, self._area
        note = {"metadata": {"annotations": {ASSUMED: NEVER if step.state is None else step.state.value}}}
        while True:
            found = await self._book(run.component)
            going, last = found.going, found.last(run)
            if going is not None and going.run == run:
                raise StepFailed(
                    f"cannot say what became of {_called(run)}",
                    f"It still runs: Job {going.job}.",
                    component=run.component,
                    instance=run.name,
                    hint=f"Wait for it, or end it: kubectl -n {area.namespace} delete pod {going.pod}",
                )
            await self._claims.check(epoch)
            if last is None or found.known.get(run) is None:
                return
            try:
                await area.api.patch(JOB, last.job, area.namespace, note, version=last.version)
            except ConflictError as error:
                if not error.stale:
                    raise
            else:
                return

    async def forget(self) -> None:
        """Nothing is known of any run any more. Raises `TargetError` while one runs."""
        area = self._area
        found = await self._book()
        if found.going is not None:
            raise TargetError(
                f"cannot forget {area.environment}",
                f"{found.going.run.name} still runs.",
                hint=f"Wait for it, or end it: kubectl -n {area.namespace} delete pod {found.going.pod}",
            )
        for attempts in found.attempts.values():
            for attempt in attempts:
                await area.api.delete(JOB, attempt.job, area.namespace)

    # What they print

    async def output(self, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
        """As `KeepsOutput.output`: of all attempts whose pods are still there."""
        area = self._area
        shown: set[str] = set()
        while True:
            attempts = (await self._book(run.component)).attempts.get(run, ())
            new = [each for each in attempts if each.pod and each.job not in shown]
            for attempt in new:
                running = attempt.ending.state is RunState.RUNNING
                if running and follow and not await self._prints(attempt):
                    break  # look again: it was held back, or has another pod
                shown.add(attempt.job)
                lines = area.api.logs(area.namespace, attempt.pod, PROGRAM, tail=None, follow=follow and running)
                async for line in lines:
                    yield line
            known = Book({run: attempts}).known.get(run)
            over = known is not None and known.state is not RunState.RUNNING
            if not follow or (over and not new):
                return
            if not new:
                await area.until(lambda: None, seconds=LOOK)

    async def _prints(self, attempt: Attempt) -> bool:
        """Wait until its program has begun. Whether it has."""
        area = self._area

        def begun() -> bool | None:
            pod = area.mirror.objects(POD).get(attempt.pod)
            if pod is None:
                return False
            return True if pod.get("status", {}).get("phase") in {"Running", "Succeeded", "Failed"} else None

        while (answer := await area.until(begun, seconds=LOOK)) is None:
            pass
        return answer

    # One attempt

    async def _turn(self, run: RunAddress, epoch: Epoch, *, join: bool) -> Book:
        """What is known of the runs of its component when none of them runs; with `join`, or when it is that one."""
        while True:
            found = await self._book(run.component)
            going = found.going
            if going is None or (join and going.run == run and not going.undoes):
                return found
            await self._settle(going.job, await self._watch.end(going.job, lambda: self._claims.check_seen(epoch)))

    async def _begin(
        self, found: Book, run: RunAddress, source: GroupSource, hook: Hook, epoch: Epoch, *, undoes: bool
    ) -> str:
        """Make the Job and let it go. Its name, "" if somebody else made the attempt."""
        area = self._area
        number = found.next_number(run)
        name = attempt_name(run, number)
        notes = {
            RUN_ADDRESS: to_text(run_address_to_json(run)),
            PIN: to_text(pin_to_json(source.pin)),
            ATTEMPT: str(number),
            EPOCH: str(epoch.number),
            **({UNDOES: "true"} if undoes else {}),
        }
        command = (hook.undo or "") if undoes else hook.run
        job = command_job(
            area, name, source, command, role=RUN, annotations=notes, timeout=hook.timeout, needs=self._needs(source)
        )
        values = self._sources.values(run.component, source.pin)
        await self._claims.check(epoch)
        try:
            await begin(area, job, source, values)
        except AlreadyThere:
            return ""
        for old in found.superseded(KEPT):
            await area.api.delete(JOB, old.job, area.namespace)
        return name if await self._watch.let_go(name, lambda: self._claims.check(epoch)) else ""

    async def _end(self, name: str, run: RunAddress, hook: Hook, epoch: Epoch, *, undoes: bool) -> None:
        ended = await self._watch.end(name, lambda: self._claims.check_seen(epoch))
        await self._settle(name, ended)
        if ended.ending.state is RunState.DONE:
            return
        what = "undo" if undoes else "run"
        if ended.verdict is not None:
            raise await self._area.failure(what, run.component, ended.verdict)
        if ended.ending.state is None:
            raise _failed(what, run, "Somebody held it back before it began.", hint="Try again.")
        raise self._failure(run, hook, ended, undoes=undoes)

    async def _settle(self, name: str, ended: Ended) -> None:
        """Write down what only a pod tells, which may be removed any time."""
        if not ended.sure and ended.ending.state is not None:
            note = {"metadata": {"annotations": {ENDED: ending_to_text(ended.ending)}}}
            with suppress(ConflictError):
                await self._area.api.patch(JOB, name, self._area.namespace, note, missing_ok=True)

    async def _source(self, run: RunAddress, pin: Pin, what: str) -> tuple[Hook, GroupSource]:
        await self._area.mirror.ready()
        source = await self._sources.of_group(self._area, GroupAddress(run.environment, run.component, 0), pin, {})
        hook = source.release.runtime.hook(run.what)
        if hook is None:
            raise _failed(what, run, f"Its release has no `{run.what.value}:`.")
        return hook, source

    def _needs(self, source: GroupSource) -> dict[str, str]:
        """The addresses that users have, of each entry that is there: need -> URL."""
        services = self._area.mirror.objects(SERVICE)
        names = {need: component_name(need) for need in source.release.runtime.needs}
        return {need: f"http://{name}" for need, name in names.items() if name in services}

    async def _book(self, component: str = "") -> Book:
        """Asked afresh: what was seen last may be too old to begin something."""
        area = self._area
        only = {"component": component} if component else {}
        wanted = labels(area.environment, role=RUN, **only)
        jobs = await area.api.list(JOB, area.namespace, wanted)
        pods = await area.api.list(POD, area.namespace, wanted)
        return book(jobs.items, pods.items)

    # Failures

    async def _interrupted(self, found: Book, run: RunAddress, hook: Hook) -> StepFailed:
        last = found.last(run)
        assert last is not None
        log: tuple[str, ...] = ()
        if last.pod:
            log = await self._area.last_words(last.pod, PROGRAM, previous=False)
        return self._failure(run, hook, Ended(last.ending, log), undoes=last.undoes)

    def _failure(self, run: RunAddress, hook: Hook, ended: Ended, *, undoes: bool) -> StepFailed:
        hint = f"All of its output: tidegate logs -e {run.environment} {run.name}"
        if ended.ending.state is RunState.INTERRUPTED and not hook.retry:
            where = f"`tidegate resume {run.environment} --ran {run.component}` or `--not-ran {run.component}`"
            hint = f"Look at what it did, then say which: {where}\n{hint}"
        detail = f"`{hook.undo if undoes else hook.run}` {ended.ending.reason}"
        what = "undo" if undoes else "run"
        return StepFailed(
            f"cannot {what} {_called(run)}",
            detail,
            component=run.component,
            instance=run.name,
            log=ended.log,
            hint=hint,
        )


def _called(run: RunAddress) -> str:
    return run.component if run.what is RunKind.TASK else f"`{run.what.value}` of {run.component}"


def _failed(what: str, run: RunAddress, detail: str, *, hint: str = "") -> StepFailed:
    return StepFailed(f"cannot {what} {_called(run)}", detail, component=run.component, instance=run.name, hint=hint)
