"""`LocalTarget`: environments as processes on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from tidegate.drivers.local import runs
from tidegate.drivers.local.agent.state import FORMAT
from tidegate.drivers.local.attending import attending
from tidegate.drivers.local.client import PATIENCE, AgentClient
from tidegate.drivers.local.folders import Folders, destroy_data, runtime_folder
from tidegate.drivers.local.logs import InstanceLog
from tidegate.drivers.local.memory import memory_free
from tidegate.drivers.local.protocol import (
    GroupSpec,
    Json,
    ResourceSpec,
    StartRequest,
    group_to_json,
    observed_from_json,
    resource_to_json,
    start_to_json,
)
from tidegate.drivers.releases import ReleaseSource
from tidegate.errors import ArtifactDamaged, ReleaseError, SecretError, StepFailed, TargetError, TidegateError
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.component import Kind
from tidegate.model.observed import Observed, ObservedRun, RunState
from tidegate.model.pins import Secret
from tidegate.model.step import (
    Assume,
    Observe,
    Prepare,
    Provide,
    Replace,
    Retire,
    Revert,
    Route,
    Run,
    Scale,
    Start,
    Step,
    Verify,
    Withdraw,
)
from tidegate.ports.artifacts import Trees
from tidegate.ports.secrets import Secrets
from tidegate.ports.target import Epoch, LogLine, Outcome, Surroundings

FROM_CALLER = ("PATH", "HOME", "LANG")
"""All that instances have of the caller's environment."""
FOLLOW = 0.2


class LocalTarget:
    """Implements `Target` and all optional abilities for the project at `root`.

    `state` is the project's `.tidegate`. Resolves what a step names (release, artifact, settings, secrets) and hands
    the rest to the project's agent, which it starts on demand. `recovery` gives the command that recovers an
    environment, for the agent to start when an executor vanishes. Belongs to one event loop.
    """

    def __init__(
        self,
        root: Path,
        state: Path,
        releases: ReleaseSource,
        artifacts: Trees,
        secrets: Secrets,
        *,
        recovery: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._folders = Folders(root.resolve(), state.resolve(), runtime_folder(root.resolve()))
        self._releases = releases
        self._artifacts = artifacts
        self._secrets = secrets
        self._agent = AgentClient(self._folders)
        self._verified: dict[str, asyncio.Task[Path]] = {}
        self._recovery = recovery
        self._runs = runs.RunSteps(
            self._folders,
            release=releases.release,
            place=self._place,
            blob=releases.blob,
            secret=lambda component, secret: self._value(component, secret, "run"),
        )

    @property
    def place(self) -> str:
        """This machine and the project's state."""
        return f"local:{socket.gethostname()}:{self._folders.state}"

    async def observe(self, environment: str) -> Observed:
        """What runs now; starts the agent only if something should run."""
        if not self._agent.running() and not self._something_runs():
            known = runs.from_file(self._folders, environment)
            if all(run.state is not RunState.RUNNING for run in known.values()):
                return Observed(environment, runs=known, memory_free=memory_free())
        answer = await self._agent.call("GET", f"/environments/{environment}", patience=PATIENCE)
        known = runs.from_agent(answer["runs"])
        return replace(observed_from_json(answer), runs=known, memory_free=memory_free())

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """Make what the step states true; see `tidegate.ports.target.Target`."""
        if isinstance(step, Prepare):
            await self._prepare(step, epoch)
            return Outcome()
        if isinstance(step, Run | Revert | Assume):
            kind, body = await self._runs.resolve(step, await self._known(epoch.environment), _from_caller())
        else:
            kind, body = await self._resolve(step, epoch.environment)
        answer = await self._step(kind, body, epoch)
        return Outcome(urls=answer["urls"])

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """Give back ports, listeners and folders, with `data` also those that outlive this; the agent and its gateway
        end with the last environment.

        Raises `TargetError` while the environment has groups, or when data cannot be destroyed.
        """
        if not self._agent.running() and not self._folders.state_file.exists():
            if data:
                await asyncio.to_thread(destroy_data, self._folders, environment)
            return
        answer = await self._agent.call("POST", f"/environments/{environment}/forget", {"data": data})
        if answer["ending"]:
            await self._agent.ended()

    async def close(self) -> None:
        """Nothing is held between calls; what runs keeps running."""
        for task in self._verified.values():
            task.cancel()
        self._verified.clear()

    async def surroundings(self, group: GroupAddress) -> Surroundings:
        """Folder and variables of the group's instances, without what only one instance has (PORT)."""
        if not self._agent.running() and not self._something_runs():
            raise TargetError(
                f"cannot describe {group.name}",
                f"Nothing runs in {group.environment}.",
                hint=f"Start it: tidegate up {group.environment}",
            )
        path = f"/surroundings/{group.environment}/{group.component}/{group.born}"
        answer = await self._agent.call("GET", path, patience=PATIENCE)
        return Surroundings(answer["folder"], answer["env"])

    async def logs(
        self,
        environment: str,
        groups: Sequence[GroupAddress],
        *,
        tail: int,
        follow: bool,
        resources: Sequence[str] = (),
    ) -> AsyncIterator[LogLine]:
        """The last `tail` lines of each, group by group, then of resources; then new lines as they come if `follow`."""

        def files() -> list[tuple[str, Path]]:
            found = [(group.component, path) for group in groups for path in self._instance_logs(group)]
            return [*found, *((name, self._folders.resource_log(environment, name)) for name in resources)]

        places: dict[Path, int] = {}
        for name, path in files():
            lines, places[path] = InstanceLog(path).tail(tail)
            for text in lines:
                yield LogLine(name, path.name.removesuffix(".log"), text)
        while follow:
            await asyncio.sleep(FOLLOW)
            for name, path in files():
                lines, places[path] = InstanceLog(path).since(places.get(path, 0))
                for text in lines:
                    yield LogLine(name, path.name.removesuffix(".log"), text)

    def attending(self, environment: str) -> AbstractAsyncContextManager[None]:
        """While inside, the agent notices when this process ends without leaving, and starts recovery.

        Best effort while an agent is away: one that dies is not started again by this but by the next step.
        """
        if self._recovery is None:
            return nullcontext()
        return attending(self._agent, environment, self._recovery(environment))

    def output(self, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
        """The lines of a run, of all its attempts; with `follow` one that is not known yet is waited for."""
        return runs.output(self._folders, run, lambda: self._known(run.environment), follow=follow)

    async def _known(self, environment: str) -> Mapping[RunAddress, ObservedRun]:
        return (await self.observe(environment)).runs

    def _instance_logs(self, group: GroupAddress) -> list[Path]:
        found = self._folders.logs(group.environment).glob(f"{group.name}.*.log")
        return sorted(found, key=lambda path: int(path.name.split(".")[-2]))

    def _something_runs(self) -> bool:
        try:
            state = json.loads(self._folders.state_file.read_text())
            environments = state["environments"].values()
            return state["format"] != FORMAT or any(found["groups"] or found["resources"] for found in environments)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (ValueError, LookupError, TypeError, AttributeError):
            return True  # let the agent say what is wrong with it

    async def _step(self, kind: str, body: Json, epoch: Epoch) -> Json:
        stamp = {"environment": epoch.environment, "number": epoch.number, "components": list(epoch.components)}
        answer: Json = await self._agent.call("POST", f"/steps/{kind}", {"epoch": stamp, "step": body})
        return answer

    async def _prepare(self, step: Prepare, epoch: Epoch) -> None:
        # The agent and its gateway start while the files are compared.
        fenced = asyncio.create_task(self._step("prepare", {}, epoch))
        try:
            await self._place(step.component, step.release)
            await fenced
        finally:
            fenced.cancel()
            await asyncio.wait([fenced])

    async def _resolve(
        self,
        step: Provide | Start | Verify | Replace | Route | Observe | Scale | Retire | Withdraw,
        environment: str,
    ) -> tuple[str, Json]:
        match step:
            case Start():
                return "start", start_to_json(await self._start(step))
            case Replace():
                stops = [group_to_json(group) for group in step.stops]
                return "replace", {**start_to_json(await self._start(step)), "stops": stops}
            case Provide():
                return "provide", resource_to_json(self._resource(step, environment))
            case Withdraw():
                return "withdraw", {"resource": step.resource}
            case Verify():
                return await self._verify(step)
            case Route():
                return "route", {
                    "entries": [[move.component, group_to_json(move.to)] for move in step.entries],
                    "edges": [
                        [group_to_json(move.edge.group), move.edge.need, group_to_json(move.to)] for move in step.edges
                    ],
                }
            case Observe():
                return "observe", {
                    "groups": [group_to_json(group) for group in step.groups],
                    "entries": list(step.entries),
                    "edges": [[group_to_json(edge.group), edge.need] for edge in step.edges],
                    "seconds": step.seconds,
                    "max_errors": step.max_errors,
                }
            case Scale():
                return "scale", {"group": group_to_json(step.group), "replicas": step.replicas}
            case Retire():
                return "retire", {"group": group_to_json(step.group)}
            case _ as never:
                assert_never(never)

    async def _verify(self, step: Verify) -> tuple[str, Json]:
        release = await self._releases.release(step.release)
        if release.runtime.verify is None:
            return "prepare", {}
        return "verify", {"group": group_to_json(step.group), "command": release.runtime.verify}

    def _resource(self, step: Provide, environment: str) -> ResourceSpec:
        spec, folders = step.spec, self._folders
        own = folders.data(environment, step.resource) if spec.data else folders.work(environment, step.resource)
        return ResourceSpec(
            environment=environment,
            name=step.resource,
            identity=spec.identity,
            command=spec.run,
            url=spec.url,
            folder=str(own),
            health=spec.health,
            grace=spec.grace,
            data=spec.data,
            env=_from_caller(),
        )

    async def _start(self, step: Start | Replace) -> StartRequest:
        group, pin = step.group, step.pin
        release, place = await asyncio.gather(
            self._releases.release(pin.release), self._place(group.component, pin.release)
        )
        runtime = release.runtime
        secrets = {name: value for name, value in pin.shape.env if isinstance(value, Secret)}
        plain = {name: value for name, value in pin.shape.env if isinstance(value, str)}
        settings = (await self._releases.blob(pin.settings)).decode() if pin.settings else None
        return StartRequest(
            spec=GroupSpec(
                address=group,
                identity=pin.identity,
                release=pin.release,
                command=runtime.run,
                folder=str(place / runtime.folder),
                health=runtime.health,
                drain=runtime.drain,
                grace=runtime.grace,
                port=runtime.port,
                env={**_from_caller(), **plain},
                secrets={name: secret.reference for name, secret in secrets.items()},
                settings=str(self._folders.settings(group)) if settings is not None else "",
                data=str(self._folders.data(group.environment, group.component)) if runtime.data else "",
                worker=release.kind is Kind.WORKER,
                resources=tuple(name for name, _ in pin.shape.resources),
            ),
            replicas=pin.shape.replicas,
            edges=dict(step.edges),
            settings=settings,
            values={name: self._value(group.component, secret) for name, secret in secrets.items()},
        )

    def _value(self, component: str, secret: Secret, what: str = "start") -> str:
        try:
            return self._secrets.resolve(secret)
        except SecretError as error:
            raise _failed(what, component, error) from error

    async def _place(self, component: str, release: str) -> Path:
        """Where the release lies, whole. Compared once in the life of this target, for all who ask at once."""
        task = self._verified.get(release)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._verified[release] = asyncio.create_task(self._compare(release))
        try:
            return await asyncio.shield(task)
        except ReleaseError as error:
            raise _failed("prepare", component, error) from error

    async def _compare(self, release: str) -> Path:
        artifact = self._artifacts.choose(await self._releases.artifacts(release))
        if artifact is not None:
            return await self._artifacts.verify(artifact)
        raise ArtifactDamaged(
            "cannot use the release",
            f"There is no artifact of {release} for this kind of machine.",
            hint="Make the release again: tidegate release",
        )


def _from_caller() -> dict[str, str]:
    return {name: os.environ[name] for name in FROM_CALLER if name in os.environ}


def _failed(what: str, component: str, error: TidegateError) -> StepFailed:
    detail = f"{error.summary}: {error.detail}" if error.detail else error.summary
    return StepFailed(f"cannot {what} {component}", detail, component=component, hint=error.hint)
