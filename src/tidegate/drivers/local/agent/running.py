"""Run, Revert and Assume: commands that run to their end, one after the other for each component.

They go on when nobody waits for them any more, and when the agent dies: the next one watches them to their end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tidegate.drivers.local.agent import command, surroundings
from tidegate.drivers.local.agent.process import Process, end_group, end_writers
from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.runbook import Runbook, RunRecord, load
from tidegate.drivers.local.protocol import Json
from tidegate.drivers.local.run_protocol import RunRequest, RunSpec
from tidegate.errors import StepFailed, TargetError
from tidegate.model.address import RunAddress, url_variable
from tidegate.model.component import RunKind
from tidegate.model.digest import short
from tidegate.model.observed import RunState


@dataclass
class _Going:
    record: RunRecord
    process: Process
    watching: asyncio.Task[None]


class Runs:
    """All commands of a project that run to their end; those of one component one after the other."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._books: dict[str, Runbook] = {}
        self._going: dict[tuple[str, str], _Going] = {}

    # Steps

    async def run(self, request: RunRequest) -> None:
        """The command has ended with 0; see `tidegate.model.step.Run`.

        Raises `StepFailed` with its last words; also for one that was ended in the middle and may not simply run again.
        """
        run = request.run
        book = self._book(run.environment)
        going = await self._turn(run, join=True)
        if going is None:
            record = book.records.get(run)
            if record is not None and record.state is RunState.DONE:
                return
            if record is not None and (request.spec is None or not _may_begin(record, request)):
                raise self._failure(record, retry=request.retry)
            if request.spec is None:
                raise _failed(
                    f"cannot wait for {_called(run)}", "Nothing is known of it any more.", run, hint="Try again."
                )
            going = self._begin(book, request, request.spec)
        await asyncio.wait([going.watching])
        if going.record.state is not RunState.DONE:
            raise self._failure(going.record, retry=request.retry)

    async def revert(self, request: RunRequest) -> None:
        """What the run did was taken back by its undo command, and it is forgotten; see `Revert`.

        Raises `StepFailed` with the command's last words; then the run stays known.
        """
        run = request.run
        book = self._book(run.environment)
        await self._turn(run)
        record = book.records.get(run)
        if record is None:
            return
        if request.spec is None or not _may_begin(record, request):
            raise self._failure(record, retry=request.retry)
        going = self._begin(book, request, request.spec, undoing=record.state)
        await asyncio.wait([going.watching])
        if run in book.records:
            raise self._failure(going.record, retry=request.retry)

    def assume(self, run: RunAddress, state: RunState | None) -> None:
        """Somebody knows what became of the run; None: it never was. Raises `StepFailed` while it runs."""
        book = self._book(run.environment)
        going = self._going.get((run.environment, run.component))
        if going is not None and going.record.run == run:
            raise _failed(
                f"cannot say what became of {_called(run)}",
                f"It still runs: process {going.process.pid}.",
                run,
                hint=f"Wait for it, or end it: kill -- -{going.process.pid}",
            )
        record = book.records.get(run)
        if record is None:
            return
        if state is None:
            del book.records[run]
        else:
            record.state, record.status = state, None
        book.save()

    def seen(self, environment: str) -> list[Json]:
        """What is known of the runs of an environment."""
        return self._book(environment).seen()

    # Life

    def adopt(self) -> None:
        """Go on with what the agent before had begun. Raises `TargetError` if what it wrote cannot be read."""
        for file in sorted(self._project.folders.data("").glob("*/.runs.json")):
            book = self._book(file.parent.name)
            for record in list(book.records.values()):
                if record.state is RunState.RUNNING:
                    process = Process.adopt(record.pid, record.process)
                    if process is None:
                        self._settle(book, record, exited=None)
                    else:
                        self._watch(book, record, process)

    async def leave(self) -> None:
        """Stop caring; what runs goes on and can be adopted."""
        watching = [going.watching for going in self._going.values()]
        for task in watching:
            task.cancel()
        if watching:
            await asyncio.wait(watching)
        self._going.clear()

    async def stop_all(self) -> None:
        """End every command: what it belongs to is gone."""
        processes = [going.process for going in self._going.values()]
        await self.leave()
        await asyncio.gather(*(process.stop(0) for process in processes))

    def forget(self, environment: str, *, data: bool) -> None:
        """With `data`, the file is about to be destroyed with the rest. Raises `TargetError` while one runs."""
        going = [going for (where, _), going in self._going.items() if where == environment]
        if going:
            raise TargetError(
                f"cannot forget {environment}",
                f"{going[0].record.run.name} still runs.",
                hint=f"Wait for it, or end it: kill -- -{going[0].process.pid}",
            )
        if data:
            self._books.pop(environment, None)

    # One command

    def _begin(self, book: Runbook, request: RunRequest, spec: RunSpec, *, undoing: RunState | None = None) -> _Going:
        """Start it. Nothing waits in here, so nothing comes between the look at what is known and the start."""
        run = request.run
        former = dict(book.records)
        record = RunRecord(
            run,
            request.pin,
            RunState.RUNNING,
            command=spec.command,
            undoing=undoing is not None,
            former=undoing or RunState.FAILED,
            begun=time.time(),
            timeout=spec.timeout,
            grace=spec.grace,
        )
        try:
            environment = self._environment(record, spec)
            process, tell = command.begin(self._project.folders, record, spec, environment)
            try:
                book.put(record)
                book.save()
                with suppress(BrokenPipeError):  # it was ended at once; that will be seen
                    os.write(tell, b"go\n")
            finally:
                os.close(tell)
        except OSError as error:
            book.records = former
            raise _failed(_cannot(record), f"{error.filename or spec.folder}: {error.strerror}", run) from error
        return self._watch(book, record, process)

    def _environment(self, record: RunRecord, spec: RunSpec) -> dict[str, str]:
        run = record.run
        there = self._project.state.environment(run.environment)
        missing = [name for name in spec.resources if name not in there.resources]
        if missing:
            raise _failed(_cannot(record), f"It uses {', '.join(missing)}, and nothing provides that.", run)
        needs = {
            url_variable(need): f"http://127.0.0.1:{there.entries[need].port}"
            for need in spec.needs
            if need in there.entries
        }
        own = {
            "TIDEGATE_ENVIRONMENT": run.environment,
            "TIDEGATE_COMPONENT": run.component,
            "TIDEGATE_RELEASE": short(run.release),
        }
        if spec.settings is not None:
            own["TIDEGATE_SETTINGS"] = str(self._project.folders.run_settings(run))
        if spec.data:
            own["DATA"] = spec.data
        return {**spec.env, **spec.values, **needs, **surroundings.resource_urls(there, spec.resources), **own}

    def _watch(self, book: Runbook, record: RunRecord, process: Process) -> _Going:
        key = (record.run.environment, record.run.component)
        going = _Going(record, process, asyncio.create_task(self._see_end(book, record, process)))
        self._going[key] = going
        going.watching.add_done_callback(lambda _: self._going.pop(key, None))
        return going

    async def _turn(self, run: RunAddress, *, join: bool = False) -> _Going | None:
        """Wait until nothing of its component runs; with `join`, only until the run itself is what runs."""
        while (going := self._going.get((run.environment, run.component))) is not None:
            if join and going.record.run == run and not going.record.undoing:
                return going
            await asyncio.wait([going.watching])
        return None

    async def _see_end(self, book: Runbook, record: RunRecord, process: Process) -> None:
        patience = record.timeout / 1000
        left = min(patience, record.begun + patience - time.time())
        try:
            async with asyncio.timeout(left):
                exited = await asyncio.shield(process.exited)
        except TimeoutError:
            await process.stop(record.grace / 1000)
            self._settle(book, record, exited=None, late=True)
        else:
            self._settle(book, record, exited=exited)

    def _settle(self, book: Runbook, record: RunRecord, *, exited: int | None, late: bool = False) -> None:
        """It ended: write down how. `exited` is what its parent was told, if that was us."""
        run = record.run
        folders = self._project.folders
        end_writers(folders.run_log(run))  # what left its process group
        end_group(record.pid, record.process)
        said = command.said(folders.run_status(run))
        if said == command.NEVER:
            self._unbegun(book, record)
        else:
            status = int(said) if said else exited if exited is not None and exited >= 0 else None
            self._ended(book, record, status, late=late)
        try:
            book.save()
        except OSError as error:  # the next agent finds the status where it lies
            self._project.complain(f"cannot write {book.file}: {error}")
        else:
            for file in (folders.run_status(run), folders.run_settings(run)):
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    def _unbegun(self, book: Runbook, record: RunRecord) -> None:
        if record.undoing:
            record.state = record.former
        else:
            del book.records[record.run]

    def _ended(self, book: Runbook, record: RunRecord, status: int | None, *, late: bool) -> None:
        failed = record.former if record.undoing else RunState.FAILED
        if status == 0:
            record.state, record.reason = RunState.DONE, "ended with 0"
            if record.undoing:
                del book.records[record.run]
        elif late and status is None:
            record.state, record.reason = failed, f"did not end within {record.timeout / 1000:g} s"
        elif status is None:
            record.state, record.reason = RunState.INTERRUPTED, "was ended in the middle, nobody saw how"
        elif 128 < status <= 192:  # what a shell makes of a signal
            record.state = RunState.INTERRUPTED
            record.reason = f"was ended in the middle by signal {status - 128}, nobody saw how far it came"
        else:
            record.state, record.reason = failed, f"ended with {status}"
        if not record.undoing:
            record.status = status

    def _failure(self, record: RunRecord, *, retry: bool) -> StepFailed:
        run = record.run
        log = self._project.folders.run_log(run)
        hint = f"All of its output is in {log}"
        if record.state is RunState.INTERRUPTED and not retry:
            where = f"`tidegate resume {run.environment} --ran {run.component}` or `--not-ran {run.component}`"
            hint = f"Look at what it did, then say which: {where}\n{hint}"
        detail = f"`{record.command}` {record.reason}"
        return _failed(_cannot(record), detail, run, log=command.last_words(log, record.offset), hint=hint)

    # What is known

    def _book(self, environment: str) -> Runbook:
        if environment not in self._books:
            self._books[environment] = load(self._project.folders.runbook(environment))
        return self._books[environment]


def _may_begin(record: RunRecord, request: RunRequest) -> bool:
    return record.state is not RunState.INTERRUPTED or request.retry


def _called(run: RunAddress) -> str:
    return run.component if run.what is RunKind.TASK else f"`{run.what.value}` of {run.component}"


def _cannot(record: RunRecord) -> str:
    return f"cannot {'undo' if record.undoing else 'run'} {_called(record.run)}"


def _failed(summary: str, detail: str, run: RunAddress, *, log: Sequence[str] = (), hint: str = "") -> StepFailed:
    return StepFailed(summary, detail, component=run.component, instance=run.name, log=log, hint=hint)
