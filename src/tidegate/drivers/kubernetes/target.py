"""`KubernetesTarget`: environments as namespaces of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, assert_never

from tidegate.drivers.kubernetes.area import WATCHED, Area
from tidegate.drivers.kubernetes.claims import Claims
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.errors import ForbiddenError
from tidegate.drivers.kubernetes.grounds import Grounds
from tidegate.drivers.kubernetes.inside import Inside
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, JOB, NAMESPACE, POD, SERVICE
from tidegate.drivers.kubernetes.logs import Logs
from tidegate.drivers.kubernetes.mirror import Mirror
from tidegate.drivers.kubernetes.names import RELEASE, labels
from tidegate.drivers.kubernetes.observing import observed
from tidegate.drivers.kubernetes.permissions import permission_objects, rules
from tidegate.drivers.kubernetes.preflight import Preflight
from tidegate.drivers.kubernetes.providing import Providing
from tidegate.drivers.kubernetes.rendering import Rendering
from tidegate.drivers.kubernetes.retiring import Retiring, drain_of
from tidegate.drivers.kubernetes.runs import Runs
from tidegate.drivers.kubernetes.sources import Sources
from tidegate.drivers.kubernetes.starting import Starting
from tidegate.drivers.kubernetes.switching import Switching
from tidegate.drivers.kubernetes.verifying import Verifying
from tidegate.drivers.kubernetes.watching import Watching
from tidegate.drivers.releases import ReleaseSource
from tidegate.errors import TargetUnreachable
from tidegate.model.address import GroupAddress, RunAddress
from tidegate.model.observed import Observed
from tidegate.model.plan import Plan
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
from tidegate.ports.artifacts import Images
from tidegate.ports.secrets import Secrets
from tidegate.ports.target import Epoch, LogLine, Outcome, Scenery, Streams

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Location:
    """Where environments are in a cluster: `namespace` gives that of each, `proxy` is the image that stands before
    services ("" for none), `alone` that nobody else's environment may be on the cluster (isolation `server`)."""

    organization: str
    namespace: Callable[[str], str]
    proxy: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Parts:
    """What carries out the steps of one environment."""

    area: Area
    claims: Claims
    starting: Starting
    switching: Switching
    watching: Watching
    retiring: Retiring
    runs: Runs
    verifying: Verifying
    providing: Providing
    grounds: Grounds
    rendering: Rendering
    logs: Logs


class KubernetesTarget:
    """Implements `Target` and the optional abilities of a cluster. `store` gives the identity of the store that alone
    may change what is here. Belongs to one event loop."""

    def __init__(
        self,
        api: Api,
        location: Location,
        *,
        releases: ReleaseSource,
        images: Images,
        secrets: Secrets,
        store: Callable[[], Awaitable[str]],
    ) -> None:
        self._api = api
        self._location = location
        self._releases = releases
        self._sources = Sources(releases, images, secrets, location.organization)
        self._store = store
        self._parts: dict[str, Parts] = {}

    @property
    def place(self) -> str:
        """The API server, and which namespaces. Raises `TargetError` if the kubeconfig does not say where it is."""
        return f"kubernetes:{self._api.server}/{self._location.namespace('*')}"

    async def observe(self, environment: str) -> Observed:
        """What is there now, in as many requests however much that is. Who may not look is told all that is missing."""
        namespace, wanted = self._location.namespace(environment), labels(environment)
        kinds = (DEPLOYMENT, POD, SERVICE, JOB)
        try:
            found = await asyncio.gather(*(self._api.list(kind, namespace, wanted) for kind in kinds))
        except ForbiddenError as error:
            raise await self._preflight(environment).refused(error) from error
        deployments, pods, services, jobs = (listing.items for listing in found)
        node = next((ip for pod in pods if (ip := pod.get("status", {}).get("hostIP"))), "")
        return observed(environment, namespace, deployments, pods, services, jobs, node)

    async def run(self, step: Step, epoch: Epoch) -> Outcome:
        """Make what the step states true; see `tidegate.ports.target.Target`."""
        parts = self._of(epoch.environment)
        try:
            await parts.claims.take(epoch)
            await self._run(parts, step, epoch)
        except TargetUnreachable:
            await self._forget_seen(epoch.environment, parts)
            raise
        return Outcome()

    async def _forget_seen(self, environment: str, parts: Parts) -> None:
        """A mirror that lost sight of the cluster is blind for ever; the next step gets another."""
        if self._parts.get(environment) is parts:
            del self._parts[environment]
            await parts.area.mirror.close()

    async def _run(self, parts: Parts, step: Step, epoch: Epoch) -> None:
        match step:
            case Prepare():
                await self._sources.image(step.component, step.release)
            case Start():
                await parts.starting.start(step, epoch)
            case Replace():
                await parts.starting.replace(step, epoch)
            case Verify():
                await parts.verifying.verify(step, epoch)
            case Route():
                await parts.switching.route(step, epoch)
            case Observe():
                await parts.watching.observe(step, epoch)
            case Scale():
                await parts.retiring.scale(step, epoch)
            case Retire():
                await parts.retiring.retire(step, epoch, await self._drain(parts.area, step.group))
            case Run():
                await parts.runs.run(step, epoch)
            case Revert():
                await parts.runs.revert(step, epoch)
            case Assume():
                await parts.runs.assume(step, epoch)
            case Provide():
                await parts.providing.provide(step, epoch)
            case Withdraw():
                await parts.providing.withdraw(step, epoch)
            case _ as never:
                assert_never(never)

    async def forget(self, environment: str, *, data: bool = False) -> None:
        """See `Target`. A namespace that Tidegate made goes too, once nothing is left in it that somebody else made."""
        parts = self._of(environment)
        await parts.grounds.check_owner()
        await parts.claims.check_store()
        await parts.grounds.forget(data=data)
        del self._parts[environment]
        await parts.area.mirror.close()

    async def preflight(self, plan: Plan) -> None:
        """See `Preflights`."""
        parts = self._of(plan.environment)
        with suppress(ForbiddenError):  # which is among what is missing
            await parts.grounds.check_owner()
            await parts.claims.check_store()
        await self._preflight(plan.environment).check(plan)

    async def render(self, scenery: Scenery) -> Sequence[Json]:
        """See `Renders`."""
        return await self._of(scenery.environment).rendering.render(scenery)

    async def permissions(self, environment: str) -> Sequence[Json]:
        """See `Renders`. Where the namespace is there already, it need not be made."""
        namespace = self._location.namespace(environment)
        makes = await self._makes(environment, namespace)
        wanted = rules(namespace, makes_namespace=makes, alone=self._location.alone)
        return permission_objects(environment, namespace, wanted)

    def logs(
        self,
        environment: str,
        groups: Sequence[GroupAddress],
        *,
        tail: int,
        follow: bool,
        resources: Sequence[str] = (),
    ) -> AsyncIterator[LogLine]:
        """See `FollowsLogs`."""
        return self._of(environment).logs.lines(groups, tail=tail, follow=follow, resources=resources)

    def output(self, run: RunAddress, *, follow: bool = False) -> AsyncIterator[str]:
        """See `KeepsOutput`."""
        return self._of(run.environment).runs.output(run, follow=follow)

    async def run_inside(self, group: GroupAddress, command: Sequence[str], streams: Streams) -> int:
        """See `RunsInside`."""
        return await Inside(self._api, self._location.namespace(group.environment)).run(group, command, streams)

    async def _makes(self, environment: str, namespace: str) -> bool:
        """Whether Tidegate makes and removes the namespace: it is not there, or it did. Who may not look has to be
        given it."""
        try:
            found = await self._api.get(NAMESPACE, namespace)
        except ForbiddenError:
            return True
        return found is None or self._of(environment).grounds.is_ours(found)

    async def close(self) -> None:
        """Nothing is watched any more; what runs keeps running."""
        self._sources.close()
        for parts in self._parts.values():
            await parts.area.mirror.close()
        self._parts.clear()
        await self._api.close()

    def _of(self, environment: str) -> Parts:
        if environment not in self._parts:
            namespace = self._location.namespace(environment)
            area = Area(self._api, environment, namespace, Mirror(self._api, namespace, WATCHED))
            grounds = Grounds(area, self._location.organization)
            claims = Claims(area, self._store, grounds.begin)
            starting = Starting(area, claims, self._sources, self._location.proxy)
            self._parts[environment] = Parts(
                area,
                claims,
                starting,
                Switching(area, claims),
                Watching(area, claims),
                Retiring(area, claims, starting),
                Runs(area, claims, self._sources),
                Verifying(area, claims, self._sources, self._location.proxy),
                Providing(area, claims),
                grounds,
                Rendering(
                    area,
                    self._sources,
                    organization=self._location.organization,
                    proxy=self._location.proxy,
                ),
                Logs(area),
            )
        return self._parts[environment]

    def _preflight(self, environment: str) -> Preflight:
        rendering, location = self._of(environment).rendering, self._location
        namespace = location.namespace(environment)
        return Preflight(self._api, environment, namespace, rendering.of_step, alone=location.alone)

    async def _drain(self, area: Area, group: GroupAddress) -> float:
        await area.mirror.ready()
        deployment = area.deployment(group)
        if deployment is None:
            return 0.0
        return drain_of(await self._releases.release(deployment["metadata"]["annotations"][RELEASE]))
