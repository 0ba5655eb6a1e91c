"""The caller's side of commands that run to their end: what the agent has to be told, and what they print."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tidegate.drivers.local.agent.runbook import load
from tidegate.drivers.local.folders import Folders
from tidegate.drivers.local.logs import InstanceLog
from tidegate.drivers.local.protocol import Json
from tidegate.drivers.local.run_protocol import RunRequest, RunSpec, request_to_json, run_from_json, run_to_json
from tidegate.errors import StepFailed
from tidegate.model.address import RunAddress
from tidegate.model.component import Hook, Release, Runtime
from tidegate.model.encoding import pin_from_json, pin_to_json
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.pins import Pin, Secret
from tidegate.model.step import Assume, Revert, Run

FOLLOW = 0.2
Runs = Mapping[RunAddress, ObservedRun]


class RunSteps:
    """Resolves steps that are about runs. `release`, `place` and `blob` look things up by digest (a release in the
    name of a component), `secret` gives the value of one in the name of a component."""

    def __init__(
        self,
        folders: Folders,
        *,
        release: Callable[[str], Awaitable[Release]],
        place: Callable[[str, str], Awaitable[Path]],
        blob: Callable[[str], Awaitable[bytes]],
        secret: Callable[[str, Secret], str],
    ) -> None:
        self._folders = folders
        self._release = release
        self._place = place
        self._blob = blob
        self._secret = secret

    async def resolve(self, step: Run | Revert | Assume, known: Runs, env: Mapping[str, str]) -> tuple[str, Json]:
        """The step as the agent is told it. `known` is what it knows: where nothing has to be started, nothing is
        looked up that may be gone by now. `env` is all that commands have of the caller's environment.
        """
        seen = known.get(step.run)
        match step:
            case Run():
                if seen is not None and seen.state is RunState.DONE:
                    return "prepare", {}  # here counts that the epoch was seen
                hook, release = await self._hook(step.run, step.pin)
                spec = None
                if seen is None or seen.state is not RunState.RUNNING:
                    spec = await self._spec(step.run, step.pin, release.runtime, hook, command=hook.run, env=env)
                return "run", request_to_json(RunRequest(step.run, pin_to_json(step.pin), hook.retry, spec))
            case Revert():
                if seen is None:
                    return "prepare", {}
                hook, release = await self._hook(step.run, step.pin)
                if hook.undo is None:
                    raise _failed("undo", step.run, "There is no `undo:` for it.")
                spec = await self._spec(step.run, step.pin, release.runtime, hook, command=hook.undo, env=env)
                return "revert", request_to_json(RunRequest(step.run, pin_to_json(step.pin), hook.retry, spec))
            case Assume():
                return "assume", {"run": run_to_json(step.run), "state": step.state}

    async def _hook(self, run: RunAddress, pin: Pin) -> tuple[Hook, Release]:
        release = await self._release(pin.release)
        hook = release.runtime.hook(run.what)
        if hook is None:
            raise _failed("run", run, f"Its release has no `{run.what.value}:`.")
        return hook, release

    async def _spec(
        self, run: RunAddress, pin: Pin, runtime: Runtime, hook: Hook, *, command: str, env: Mapping[str, str]
    ) -> RunSpec:
        place = await self._place(run.component, pin.release)
        plain = {name: value for name, value in pin.shape.env if isinstance(value, str)}
        secrets = {name: value for name, value in pin.shape.env if isinstance(value, Secret)}
        return RunSpec(
            command=command,
            folder=str(place / runtime.folder),
            timeout=hook.timeout,
            grace=runtime.grace,
            env={**env, **plain},
            values={name: self._secret(run.component, secret) for name, secret in secrets.items()},
            needs=runtime.needs,
            resources=tuple(name for name, _ in pin.shape.resources),
            data=str(self._folders.data(run.environment, run.component)) if runtime.data else "",
            settings=(await self._blob(pin.settings)).decode() if pin.settings else None,
        )


def from_agent(seen: Sequence[Json]) -> dict[RunAddress, ObservedRun]:
    """Runs as the agent tells them."""
    found = {}
    for run in seen:
        address = run_from_json(run["run"])
        found[address] = ObservedRun(address, RunState(run["state"]), pin_from_json(run["pin"]), run["status"])
    return found


def from_file(folders: Folders, environment: str) -> dict[RunAddress, ObservedRun]:
    """What the last agent knew of runs. Raises `TargetError` if that cannot be read."""
    return from_agent(load(folders.runbook(environment)).seen())


async def output(
    folders: Folders, run: RunAddress, known: Callable[[], Awaitable[Runs]], *, follow: bool
) -> AsyncIterator[str]:
    """The lines of a run, oldest first; with `follow` until it has ended, and from its beginning if that is to come.
    `known` tells what is known of runs."""
    log = InstanceLog(folders.run_log(run))
    offset = 0
    while True:
        began = log.path.exists()
        seen = (await known()).get(run) if follow else None
        over = not follow or (began if seen is None else seen.state is not RunState.RUNNING)
        while True:
            lines, offset = log.since(offset)
            for line in lines:
                yield line
            if not lines:
                break
        if over:
            break
        await asyncio.sleep(FOLLOW)
    if offset < log.size():  # a line without an end
        for line in log.tail(1)[0]:
            yield line


def _failed(what: str, run: RunAddress, detail: str) -> StepFailed:
    return StepFailed(f"cannot {what} {run.name}", detail, component=run.component, instance=run.name)
