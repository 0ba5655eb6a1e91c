"""Changing an environment: plan, apply, up, down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.app.carry import carry_over, check_artifacts
from tidegate.app.noting import notes
from tidegate.app.planned import Planned
from tidegate.app.release import BuildReporter, make_releases, name_releases, unbuilt
from tidegate.app.workspace import Workspace
from tidegate.errors import StalePlan, TidegateError, UsageError
from tidegate.execution import Applied, Executor, Fate
from tidegate.execution.progress import Reporter
from tidegate.execution.settle import head_pins, releases_of
from tidegate.model.component import Release
from tidegate.model.digest import digest_bytes
from tidegate.model.pins import Pin, Pins
from tidegate.model.plan import Plan
from tidegate.planning import Limit, Policy, make_plan, wanted_by_changes, wanted_by_up
from tidegate.ports.target import Preflights


@dataclass(frozen=True, slots=True)
class Selection:
    """What `up` and `plan` are narrowed to. `remove` takes components away."""

    only: tuple[str, ...] = ()
    with_needs: bool = False
    remove: tuple[str, ...] = ()


async def plan_up(
    workspace: Workspace, environment: str, selection: Selection, *, build: BuildReporter | None = None
) -> Planned:
    """What `up` would do. With `build`, releases are made and recorded, so that the plan can be applied.

    Without it nothing at all is written. Raises `UsageError`, `UnsafePlan`, `BuildFailed`, and
    `TidegateError` for a checkout without components.
    """
    workspace = workspace.at(environment)
    workspace.environment(environment)
    if not workspace.project.components and not selection.remove:
        raise TidegateError(
            f"cannot release anything into {environment}",
            f"There is no component yet: no service.yaml, worker.yaml or task.yaml below {workspace.project.root}.",
            hint="Write a service.yaml with run: beside your code, or let `tidegate init` propose it.",
        )
    workspace.check_components(selection.only)
    present = [component.name for component in workspace.project.present(environment)]
    for name in selection.only:
        if name not in present:
            raise UsageError(f"cannot choose {name}", f"{environment} does not have it.")
    chosen = _chosen(workspace, present, selection)
    releases = await name_releases(workspace, chosen)
    missing: tuple[str, ...] = ()
    if build is None:
        missing = await unbuilt(workspace, releases)
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
        policy=policy_of(workspace, environment),
        held=record.held,
    )
    return Planned(
        plan,
        current,
        wanted,
        observed,
        known,
        settings,
        unbuilt=missing,
        elsewhere=tuple(sorted(set(wanted) - set(present))),
        notes=await notes(workspace, environment, {name: wanted[name] for name in _touched(plan, wanted)}, known),
    )


async def plan_down(workspace: Workspace, environment: str) -> Planned:
    """The plan that leaves nothing of an environment. Also for one that tidegate.yaml no longer has."""
    workspace = workspace.at(environment)
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
        as_one=True,
    )
    return Planned(plan, current, {}, observed, known)


async def plan_saved(workspace: Workspace, plan: Plan) -> Planned:
    """A plan that was saved, made ready to apply; carried over if the environment moved on beside it.

    Raises `NotInStore` if the releases are not here, `UnsafePlan` if one was pruned, `StalePlan` as `carry_over`.
    """
    workspace = workspace.at(plan.environment)
    record = await workspace.store.environment(plan.environment)
    current = await head_pins(workspace.store, record)
    pins = [pin for change in plan.changes for entry in change.pins for pin in (entry.old, entry.new) if pin]
    await workspace.artifacts.use({pin.release for pin in pins})  # nobody prunes what is looked for below
    known = dict(await workspace.store.releases_named({pin.release for pin in pins}))
    known.update(await releases_of(workspace.store, current))
    observed = await workspace.target.observe(plan.environment)
    planned = Planned(plan, current, wanted_by_changes(current, plan.changes), observed, known)
    if record.head != plan.parent:
        planned = await carry_over(workspace, planned, policy_of(workspace, plan.environment))
    await check_artifacts(workspace, planned)
    return planned


def _touched(plan: Plan, wanted: Pins) -> list[str]:
    return [name for change in plan.changes for name in change.components if name in wanted]


def policy_of(workspace: Workspace, environment: str) -> Policy:
    """What tidegate.yaml says about changes of an environment; the defaults for one that it no longer has."""
    spec = workspace.project.environments.get(environment)
    if spec is None:
        return Policy()
    limit = Limit(spec.max_extra.instances, spec.max_extra.memory)
    return Policy(spec.observe, spec.max_errors, allow_dirty=not spec.after, max_extra=limit)


def executor(workspace: Workspace, environment: str, report: Reporter) -> Executor:
    """An executor of this process; keep it to be able to `stop` it."""
    workspace = workspace.at(environment)
    return Executor(
        workspace.store,
        workspace.target,
        holder=workspace.holder,
        by=workspace.actor,
        reporter=report,
        limit=policy_of(workspace, environment).max_extra,
    )


async def apply(workspace: Workspace, executor: Executor, planned: Planned, *, why: str = "") -> Applied:
    """Carry out a plan; carried over as often as others commit beside it. See `Executor.apply`.

    Raises `TargetError` before anything is changed if the target says that it cannot be.
    """
    workspace = workspace.at(planned.plan.environment)
    if isinstance(workspace.target, Preflights) and planned.plan.changes:
        await workspace.target.preflight(planned.plan)
    while True:
        try:
            return await executor.apply(planned.plan, planned.releases, why=why)
        except StalePlan:
            planned = await carry_over(workspace, planned, policy_of(workspace, planned.plan.environment))


async def forget_if_empty(workspace: Workspace, planned: Planned, applied: Applied, *, data: bool = False) -> bool:
    """After a `down` that left nothing: let the target give back what it kept, with `data` also what outlives that.

    Returns whether it did.
    """
    workspace = workspace.at(planned.plan.environment)
    left = any(result.fate is not Fate.COMMITTED or result.unfinished for result in applied.changes)
    if left or (await workspace.target.observe(planned.plan.environment)).groups:
        return False
    await workspace.target.forget(planned.plan.environment, data=data)
    return True


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
            hint="Commit, then try again." if known else "Put it under git (git init), and commit.",
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
