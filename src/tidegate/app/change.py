"""Changing an environment: plan, apply, up, down, recover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.app.release import BuildReporter, make_releases, name_releases
from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError, UsageError
from tidegate.execution import Applied, Executor, Fate
from tidegate.execution.claim import LEASE
from tidegate.execution.progress import Reporter
from tidegate.execution.recover import head_pins, recover, releases_of
from tidegate.model.component import Release
from tidegate.model.digest import digest_bytes
from tidegate.model.observed import Observed
from tidegate.model.pins import Pin, Pins
from tidegate.model.plan import Plan
from tidegate.planning import Policy, make_plan, wanted_by_up


@dataclass(frozen=True, slots=True)
class Selection:
    """What `up` and `plan` are narrowed to. `remove` takes components away."""

    only: tuple[str, ...] = ()
    with_needs: bool = False
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with all that is needed to explain and to apply it.

    `unbuilt` are components whose release has no artifact yet; `elsewhere` components that the environment has
    and this checkout has not (they stay).
    """

    plan: Plan
    current: Pins
    wanted: Pins
    observed: Observed
    releases: Mapping[str, Release]
    settings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    unbuilt: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


async def plan_up(
    workspace: Workspace, environment: str, selection: Selection, *, build: BuildReporter | None = None
) -> Planned:
    """What `up` would do. With `build`, releases are made and recorded, so that the plan can be applied.

    Without it nothing at all is written. Raises `UsageError`, `UnsafePlan`, `BuildFailed`, and
    `TidegateError` for a checkout without components.
    """
    spec = workspace.environment(environment)
    if not workspace.project.components and not selection.remove:
        raise TidegateError(
            f"cannot release anything into {environment}",
            f"There is no component yet: no service.yaml lies below {workspace.project.root}.",
            hint="Write a service.yaml with run: beside your code, or let `tidegate init` propose it.",
        )
    workspace.check_components(selection.only)
    present = [component.name for component in workspace.project.present(environment)]
    for name in selection.only:
        if name not in present:
            raise UsageError(f"cannot choose {name}", f"{environment} does not have it.")
    chosen = _chosen(workspace, present, selection)
    releases = await name_releases(workspace, chosen)
    unbuilt: tuple[str, ...] = ()
    if build is None:
        built = set(await workspace.artifacts.present())
        unbuilt = tuple(name for name, release in releases.items() if release.digest not in built)
    else:
        _refuse_dirty(workspace, environment, releases)
        made = await make_releases(workspace, releases, build)
        releases = {name: released.release for name, released in made.items()}
    checkout, settings = await _pins(workspace, environment, releases, keep=build is not None)
    record = await workspace.store.environment(environment)
    current = await head_pins(workspace.store, record)
    known = {release.digest: release for release in releases.values()}
    known.update(await releases_of(workspace.store, current))
    wanted = wanted_by_up(current, checkout, remove=selection.remove)
    observed = await workspace.target.observe(environment)
    plan = make_plan(
        environment=environment,
        parent=record.head,
        number=record.next_number,
        current=current,
        wanted=wanted,
        observed=observed,
        releases=known,
        policy=Policy(spec.observe, spec.max_errors, allow_dirty=not spec.after),
    )
    return Planned(
        plan,
        current,
        wanted,
        observed,
        known,
        settings,
        unbuilt=unbuilt,
        elsewhere=tuple(sorted(set(wanted) - set(present))),
    )


async def plan_down(workspace: Workspace, environment: str) -> Planned:
    """The plan that leaves nothing of an environment. Also for one that tidegate.yaml no longer has."""
    record = await workspace.store.environment(environment)
    current = await head_pins(workspace.store, record)
    known = await releases_of(workspace.store, current)
    observed = await workspace.target.observe(environment)
    plan = make_plan(
        environment=environment,
        parent=record.head,
        number=record.next_number,
        current=current,
        wanted={},
        observed=observed,
        releases=known,
        policy=Policy(),
        scope=frozenset({*current, *observed.entries, *(address.component for address in observed.groups)}),
    )
    return Planned(plan, current, {}, observed, known)


async def plan_saved(workspace: Workspace, plan: Plan) -> Planned:
    """A plan that was saved, made ready to apply. Raises `NotInStore` if the releases are not here."""
    record = await workspace.store.environment(plan.environment)
    current = await head_pins(workspace.store, record)
    pins = [pin for change in plan.changes for entry in change.pins for pin in (entry.old, entry.new) if pin]
    known = {pin.release: await workspace.store.release(pin.release) for pin in pins}
    known.update(await releases_of(workspace.store, current))
    wanted = dict(current)
    for change in plan.changes:
        for entry in change.pins:
            if entry.new is None:
                wanted.pop(entry.component, None)
            else:
                wanted[entry.component] = entry.new
    observed = await workspace.target.observe(plan.environment)
    return Planned(plan, current, wanted, observed, known)


def executor(workspace: Workspace, report: Reporter) -> Executor:
    """An executor of this process; keep it to be able to `stop` it."""
    return Executor(workspace.store, workspace.target, holder=workspace.holder, by=workspace.actor, reporter=report)


async def apply(executor: Executor, planned: Planned, *, why: str = "") -> Applied:
    """Carry out a plan. See `Executor.apply`."""
    return await executor.apply(planned.plan, planned.releases, why=why)


async def forget_if_empty(workspace: Workspace, planned: Planned, applied: Applied) -> bool:
    """After a `down` that left nothing: let the target give back what it kept. Returns whether it did."""
    left = any(result.fate is not Fate.COMMITTED or result.unfinished for result in applied.changes)
    if left or (await workspace.target.observe(planned.plan.environment)).groups:
        return False
    await workspace.target.forget(planned.plan.environment)
    return True


async def recover_environment(workspace: Workspace, environment: str, report: Reporter) -> Sequence[str]:
    """Settle what a vanished executor left; the names of the components. Raises `ClaimRefused` while it lives."""
    if not (await workspace.store.environment(environment)).claims:
        return ()
    claims = await recover(
        workspace.store,
        workspace.target,
        environment,
        holder=workspace.holder,
        lease=LEASE,
        actor=workspace.actor,
        report=report,
        vanished=workspace.vanished,
    )
    return tuple(sorted(name for claim in claims for name in claim.components))


def _chosen(workspace: Workspace, present: Sequence[str], selection: Selection) -> list[str]:
    chosen = set(selection.only or present)
    waiting = list(chosen) if selection.with_needs else []
    while waiting:
        for need in workspace.project.components[waiting.pop()].runtime.needs:
            if need in present and need not in chosen:
                chosen.add(need)
                waiting.append(need)
    return sorted(chosen - set(selection.remove))


def _refuse_dirty(workspace: Workspace, environment: str, releases: Mapping[str, Release]) -> None:
    """Before anything is built for nothing."""
    dirty = sorted(release.component for release in releases.values() if release.dirty)
    if dirty and workspace.environment(environment).after:
        known = any(release.commit for release in releases.values())
        raise UsageError(
            f"cannot release {', '.join(dirty)} into {environment}",
            "The sources are not committed; a release of such sources never leaves the first environment.",
            hint="Commit, then try again." if known else "Put it under git: git init, and commit.",
        )


async def _pins(
    workspace: Workspace, environment: str, releases: Mapping[str, Release], *, keep: bool
) -> tuple[dict[str, Pin], dict[str, bytes]]:
    """The pins of this checkout, and the settings by digest; the settings are kept in the store if asked to."""
    pins = {}
    settings: dict[str, bytes] = {}
    for name, release in releases.items():
        spec = workspace.project.components[name]
        file = spec.settings_file(environment)
        content = file.read_bytes() if file else None
        if content is None:
            digest = ""
        elif keep:
            digest = await workspace.store.put_blob("settings", content)
        else:
            digest = digest_bytes("settings", content)
        if content is not None:
            settings[digest] = content
        pins[name] = Pin(release.digest, digest, spec.shape(environment))
    return pins, settings
