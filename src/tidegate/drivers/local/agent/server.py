"""The agent's routes.

Access control is the file system's: the socket has mode 0600 in a folder of mode 0700, so whoever can connect is this
user or root, who could do all of this without the agent. There is no token.

    GET  /agent                                     version, protocol, pid
    POST /leave                                     end; what runs keeps running and can be adopted
    POST /steps/{kind}                              run a step under an epoch; closing the connection cancels it
    GET  /environments/{name}                       observe
    POST /environments/{name}/forget                give everything back, destroy `data` if asked; ends the agent with
                                                    the last environment
    GET  /surroundings/{environment}/{component}/{born}
    POST /executions                                answered when an execution is over; until then its connection lives
    POST /executions/{name}/finished                it is over
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tidegate import __version__
from tidegate.drivers.local.agent import forgetting, moving, providing, replacing, retiring, starting, watching
from tidegate.drivers.local.agent.attendance import Attendance
from tidegate.drivers.local.agent.fencing import Fence
from tidegate.drivers.local.agent.project import Project
from tidegate.drivers.local.agent.running import Runs
from tidegate.drivers.local.protocol import (
    PROTOCOL,
    Json,
    group_from_json,
    observed_to_json,
    resource_from_json,
    some_group,
    start_from_json,
)
from tidegate.drivers.local.run_protocol import request_from_json, run_from_json
from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.observed import RunState
from tidegate.model.step import EdgeMove, EntryMove, Observe, Route
from tidegate.ports.target import Epoch


class Server:
    """Answers requests until `ended` is set. `runs` and `attendance` are what lives longer than one request."""

    def __init__(self, project: Project) -> None:
        self.ended = asyncio.Event()
        self.runs = Runs(project)
        self.attendance = Attendance(project.folders)
        self._project = project
        self._fence = Fence(project)

    async def handle(self, method: str, path: str, body: Json) -> Any:
        """The answer as JSON. Raises LookupError for an unknown route, `TidegateError` for what did not work."""
        match method, *path.strip("/").split("/"):
            case "GET", "agent":
                return {"version": __version__, "protocol": PROTOCOL, "pid": os.getpid()}
            case "POST", "leave":
                self.ended.set()
                return {}
            case "POST", "steps", kind:
                epoch = body["epoch"]
                with self._fence.inside(Epoch(epoch["environment"], epoch["number"], tuple(epoch["components"]))):
                    return {"urls": await self._run(kind, epoch["environment"], body["step"])}
            case "GET", "environments", name:
                return {**observed_to_json(self._project.observe(name)), "runs": self.runs.seen(name)}
            case "POST", "environments", name, "forget":
                await self._forget(name, data=body["data"])
                return {"ending": self._project.idle}
            case "GET", "surroundings", environment, component, born:
                return self._surroundings(GroupAddress(environment, component, int(born)))
            case "POST", "executions":
                return await self.attendance.attend(body["name"], body)
            case "POST", "executions", name, "finished":
                self.attendance.finish(name)
                return {}
            case _:
                raise LookupError(f"{method} {path}")

    async def _run(self, kind: str, environment: str, step: Json) -> dict[str, str]:
        project = self._project
        match kind:
            case "prepare":  # the caller has compared the artifact; here counts that its epoch was seen
                pass
            case "start":
                return await starting.start(project, start_from_json(step))
            case "replace":
                return await replacing.replace(
                    project, start_from_json(step), [some_group(group) for group in step["stops"]]
                )
            case "provide":
                await providing.provide(project, resource_from_json(step))
            case "withdraw":
                await providing.withdraw(project, environment, step["resource"])
            case "verify":
                await starting.verify(project, some_group(step["group"]), step["command"])
            case "route":
                await moving.route(project, environment, _route(step))
            case "observe":
                await watching.observe(project, environment, _observe(step))
            case "scale":
                await retiring.scale(project, some_group(step["group"]), step["replicas"])
            case "retire":
                await retiring.retire(project, some_group(step["group"]))
            case "run":
                await self.runs.run(request_from_json(step))
            case "revert":
                await self.runs.revert(request_from_json(step))
            case "assume":
                state = step["state"]
                self.runs.assume(run_from_json(step["run"]), None if state is None else RunState(state))
            case _:
                raise LookupError(f"no step is called {kind}")
        return {}

    async def _forget(self, name: str, *, data: bool) -> None:
        self.runs.forget(name, data=data)
        await forgetting.forget(self._project, name, data=data)
        if self._project.idle:
            await self._project.end()
            self.ended.set()

    def _surroundings(self, address: GroupAddress) -> Json:
        group = self._project.state.group(address)
        if group is None:
            raise TargetError(
                f"cannot describe {address.name}",
                f"{address} does not run.",
                hint=f"Start it: tidegate up {address.environment}",
            )
        environment = self._project.environment(group)
        if isinstance(environment, str):
            raise TargetError(
                f"cannot describe {address.name}",
                environment,
                hint=f"Start it again: tidegate up {address.environment}",
            )
        return {"folder": group.spec.folder, "env": environment}


def _route(data: Json) -> Route:
    return Route(
        tuple(EntryMove(component, group_from_json(to)) for component, to in data["entries"]),
        tuple(EdgeMove(EdgeAddress(some_group(group), need), group_from_json(to)) for group, need, to in data["edges"]),
    )


def _observe(data: Json) -> Observe:
    return Observe(
        groups=tuple(some_group(group) for group in data["groups"]),
        entries=tuple(data["entries"]),
        edges=tuple(EdgeAddress(some_group(group), need) for group, need in data["edges"]),
        seconds=data["seconds"],
        max_errors=data["max_errors"],
    )
