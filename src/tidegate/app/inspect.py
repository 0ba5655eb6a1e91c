"""Looking, never changing: status, history, releases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tidegate.app.hanging import ClaimStatus, claim_status
from tidegate.app.workspace import Workspace
from tidegate.errors import ReleaseError, SecretError, StoreError, TargetError
from tidegate.execution.settle import head_pins, releases_of
from tidegate.model.component import Kind, Release, RunKind
from tidegate.model.digest import short
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, RunState
from tidegate.model.pins import Pin, revision_name


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance, as people see it. `address` is host:port; `memory` in bytes."""

    name: str
    state: str
    restarts: int
    address: str
    pid: int
    memory: int


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """`release` and `commit` are what is pinned; `url` is the entry, `address` the same with a name for people.

    `kind`: service, worker, task. `state`: running, degraded (some instances are not healthy), crash-looping, absent,
    unpinned (runs, and nothing pins it), moving (a change is under way), unsettled (a change could neither be finished
    nor undone), ready (a task).
    """

    component: str
    state: str
    release: str
    commit: str
    dirty: bool
    replicas: int
    healthy: int
    exposed: bool
    url: str
    address: str
    group: str
    instances: tuple[InstanceStatus, ...] = ()
    kind: str = "service"


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A resource that the environment runs itself; `memory` in bytes."""

    name: str
    state: str
    url: str
    restarts: int
    pid: int
    memory: int


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A command that ran to its end, or should have. `what`: before, after, task; `status` its exit status, None while
    unknown."""

    name: str
    component: str
    what: str
    state: str
    status: int | None


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """`revision` is "" for an environment that was never brought up; `problem` says why it could not be seen. `runs`
    are the last of each task, and migrations that did not end well."""

    environment: str
    revision: str
    components: tuple[ComponentStatus, ...] = ()
    claims: tuple[ClaimStatus, ...] = ()
    problem: str = ""
    resources: tuple[ResourceStatus, ...] = ()
    runs: tuple[RunStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class PinDifference:
    """One component between a revision and its parent; "" where there was or is none. Short digests."""

    component: str
    before: str
    after: str
    replicas_before: int
    replicas_after: int
    settings_changed: bool
    env_changed: bool
    cluster_changed: bool = False


@dataclass(frozen=True, slots=True)
class RevisionLine:
    """One revision in `history`; `at` in seconds since the epoch."""

    revision: str
    parent: str
    at: float
    by: str
    why: str
    differences: tuple[PinDifference, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """One release in `releases`. `pinned` are the environments whose head pins it; `built` whether it lies here, or
    where it is fetched from."""

    component: str
    release: str
    digest: str
    commit: str
    dirty: bool
    by: str
    at: float
    built: bool
    pinned: tuple[str, ...]


async def status(workspace: Workspace, environments: Sequence[str] = ()) -> list[EnvironmentStatus]:
    """The environments of tidegate.yaml, in its order, then any others that still have something pinned.

    Of all, one whose store cannot be used, or that lives elsewhere, has a `problem`; of those that were named, the
    first of them raises why its store cannot be used.
    """
    if environments:
        return [await _status(workspace.at(name), name) for name in environments]
    names = [*workspace.project.environments]
    found = [await _status_or_problem(workspace, name) for name in names]
    with suppress(StoreError, SecretError):  # then nothing is forgotten there; its own environments said why
        others = [record for record in await workspace.store.environments() if record.name not in names]
        found += [await _status(workspace, one.name) for one in others if await head_pins(workspace.store, one)]
    return found


async def history(workspace: Workspace, environment: str, *, limit: int = 20) -> list[RevisionLine]:
    """Newest first. An environment that tidegate.yaml no longer has keeps its history."""
    workspace = workspace.at(environment)
    record = await workspace.store.environment(environment)
    if not record.head:
        workspace.environment(environment)
    revisions = await workspace.store.history(environment, limit=limit + 1)
    lines = []
    for place, revision in enumerate(revisions[:limit]):
        older = revisions[place + 1].pins if place + 1 < len(revisions) else {}
        names = sorted(name for name in {*older, *revision.pins} if older.get(name) != revision.pins.get(name))
        lines.append(
            RevisionLine(
                revision.name,
                revision_name(environment, revision.parent),
                revision.at,
                revision.by,
                revision.why,
                tuple(_difference(name, older.get(name), revision.pins.get(name)) for name in names),
            )
        )
    return lines


async def releases(workspace: Workspace, component: str | None = None) -> list[ReleaseLine]:
    """Newest first. Raises `UsageError` for a component that neither checkout nor store knows."""
    found = await workspace.store.releases(component)
    if component and not found:
        workspace.check_components((component,))
    pinned: dict[str, list[str]] = {}
    for record in await workspace.store.environments():
        for pin in (await head_pins(workspace.store, record)).values():
            pinned.setdefault(pin.release, []).append(record.name)
    present = set(await workspace.artifacts.present())
    shares = workspace.artifacts.shares
    for release in found:
        known = await workspace.store.artifacts(release.digest)
        # Images lie in a registry, whichever environment this workspace is of.
        if any(each.format == "image" or (shares and workspace.artifacts.reaches(each)) for each in known):
            present.add(release.digest)
    return [
        ReleaseLine(
            component=release.component,
            release=short(release.digest),
            digest=release.digest,
            commit=release.commit,
            dirty=release.dirty,
            by=release.by,
            at=release.at,
            built=release.digest in present,
            pinned=tuple(sorted(pinned.get(release.digest, ()))),
        )
        for release in found
    ]


def address_for_people(component: str, environment: str, url: str) -> str:
    """`http://frontend.dev.localhost:PORT` for `http://127.0.0.1:PORT`; other URLs are left alone.

    Names below localhost are loopback by RFC 6761; browsers and curl resolve them, many programs do not.
    """
    return url.replace("//127.0.0.1:", f"//{component}.{environment}.localhost:", 1)


async def _status_or_problem(workspace: Workspace, environment: str) -> EnvironmentStatus:
    try:
        return await _status(workspace.at(environment), environment)
    except (StoreError, SecretError, ReleaseError, TargetError) as error:
        return EnvironmentStatus(environment, "", problem=str(error))


async def _status(workspace: Workspace, environment: str) -> EnvironmentStatus:
    record = await workspace.store.environment(environment)
    pins = await head_pins(workspace.store, record)
    known = await releases_of(workspace.store, pins)
    claims = tuple([await claim_status(workspace.store, claim) for claim in record.claims])
    revision = revision_name(record.name, record.head)
    try:
        if (pins or claims) and record.place not in {"", workspace.target.place}:
            elsewhere = f"It lives at {record.place}; here is {workspace.target.place}."
            return EnvironmentStatus(record.name, revision, claims=claims, problem=elsewhere)
        observed = await workspace.target.observe(record.name)
    except TargetError as error:
        return EnvironmentStatus(record.name, revision, claims=claims, problem=str(error))
    states = {name: "unsettled" if claim.unsettled else "moving" for claim in claims for name in claim.components}
    names = sorted({*pins, *(address.component for address in observed.groups)})
    components = tuple(_component(name, observed, pins.get(name), known, states.get(name, "")) for name in names)
    return EnvironmentStatus(
        record.name, revision, components, claims, resources=_resources(observed), runs=_runs(observed)
    )


def _resources(observed: Observed) -> tuple[ResourceStatus, ...]:
    return tuple(
        ResourceStatus(each.name, each.state.value, each.url, each.restarts, each.pid, each.memory)
        for _, each in sorted(observed.resources.items())
    )


def _runs(observed: Observed) -> tuple[RunStatus, ...]:
    ordered = sorted(observed.runs.values(), key=lambda run: run.address.turn)
    last = {run.address.component: run for run in ordered if run.address.what is RunKind.TASK}
    shown = [
        run
        for run in ordered
        if run.address.what is not RunKind.TASK and run.state not in {RunState.DONE, RunState.ABANDONED}
    ]
    shown = sorted([*shown, *last.values()], key=lambda run: run.address)
    return tuple(
        RunStatus(run.address.name, run.address.component, run.address.what.value, run.state.value, run.status)
        for run in shown
    )


def _component(
    name: str, observed: Observed, pin: Pin | None, known: dict[str, Release], changing: str
) -> ComponentStatus:
    entry = observed.entries.get(name)
    groups = [group for address, group in observed.groups.items() if address.component == name]
    groups.sort(key=lambda group: (group.address == entry, group.healthy, group.address.born), reverse=True)
    group = groups[0] if groups else None
    release = known[pin.release] if pin else None
    url = observed.urls.get(name, "")
    return ComponentStatus(
        component=name,
        state=changing or _state(pin, group, task=release is not None and release.kind is Kind.TASK),
        release=short(pin.release) if pin else short(group.release) if group else "",
        commit=release.commit[:10] if release else "",
        dirty=release.dirty if release else False,
        replicas=pin.shape.replicas if pin else 0,
        healthy=group.healthy if group else 0,
        exposed=pin.shape.exposed if pin else False,
        url=url,
        address=address_for_people(name, observed.environment, url),
        group=group.address.name if group else "",
        instances=tuple(
            InstanceStatus(
                f"{each.address.name}.{instance.index}",
                instance.state.value,
                instance.restarts,
                instance.address,
                instance.pid,
                instance.memory,
            )
            for each in sorted(groups, key=lambda group: group.address)
            for instance in each.instances
        ),
        kind=release.kind.value if release else "service",
    )


def _state(pin: Pin | None, group: ObservedGroup | None, *, task: bool) -> str:
    if task:
        return "ready"
    if group is None:
        return "absent"
    if pin is None:
        return "unpinned"
    if any(instance.state is InstanceState.CRASH_LOOPING for instance in group.instances):
        return "crash-looping"
    if group.identity != pin.identity or group.healthy < pin.shape.replicas:
        return "degraded"
    return "running"


def _difference(name: str, old: Pin | None, new: Pin | None) -> PinDifference:
    both = old is not None and new is not None
    return PinDifference(
        component=name,
        before=short(old.release) if old else "",
        after=short(new.release) if new else "",
        replicas_before=old.shape.replicas if old else 0,
        replicas_after=new.shape.replicas if new else 0,
        settings_changed=both and old.settings != new.settings,  # type: ignore[union-attr]
        env_changed=both and old.shape.env != new.shape.env,  # type: ignore[union-attr]
        cluster_changed=both and old.shape.cluster != new.shape.cluster,  # type: ignore[union-attr]
    )
