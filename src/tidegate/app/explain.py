"""A plan in the words of people: what would happen and why, change by change, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from tidegate.app.planned import Planned
from tidegate.model.cluster import cluster_to_json
from tidegate.model.component import Kind, Release, RunKind
from tidegate.model.digest import short
from tidegate.model.pins import Pin, Secret, Value, revision_name
from tidegate.model.plan import Change, PinChange
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
from tidegate.ports.store import Store

_RUNS = {
    RunKind.BEFORE: "the migration before {}",
    RunKind.AFTER: "the migration after {}",
    RunKind.TASK: "task {}",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: `what` is release, settings.KEY, replicas, exposed, env.NAME; "" where there is none."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step in words. `after` are ids of steps that come first."""

    id: str
    phase: str
    text: str
    after: tuple[str, ...]
    wave: int = 0


@dataclass(frozen=True, slots=True)
class ComponentLine:
    """`action`: comes, goes, changes, repaired (pins equal, target differs)."""

    component: str
    action: str
    why: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Interruption:
    """A component or resource that nobody serves for a while; `seconds` as the last time, None if it is the first."""

    component: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change. `peak_memory` in bytes, as far as measured; `unmeasured` instances are not in it. It goes in `waves`
    waves; `turn` other groups of changes come first. `provides` and `withdraws` are resources that it starts and
    stops."""

    revision: str
    intent: str
    components: tuple[ComponentLine, ...]
    steps: tuple[StepLine, ...]
    peak_instances: int
    peak_memory: int
    unmeasured: int
    irreversible: tuple[str, ...]
    interruptions: tuple[Interruption, ...] = ()
    waves: int = 1
    turn: int = 0
    provides: tuple[str, ...] = ()
    withdraws: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanView:
    """A whole plan. `elsewhere` are components that the environment has and this checkout has not, `notes` what there
    is to say besides."""

    environment: str
    parent: str
    digest: str
    changes: tuple[ChangeLine, ...]
    unbuilt: tuple[str, ...]
    elsewhere: tuple[str, ...]
    notes: tuple[str, ...]
    peak_instances: int
    peak_memory: int
    unmeasured: int


@dataclass(frozen=True, slots=True)
class Past:
    """What a plan is explained with: contents of settings that current pins name (by digest, as far as known), and
    how many seconds components were interrupted the last time."""

    settings: Mapping[str, bytes] = field(default_factory=dict)
    interrupted: Mapping[str, float] = field(default_factory=dict)


def explain(planned: Planned, past: Past) -> PlanView:
    """A plan in words."""
    plan = planned.plan
    contents = {**past.settings, **planned.settings}
    changes = tuple(_change(plan.environment, change, planned.releases, contents, past) for change in plan.changes)
    worst = max(
        ([change for change in changes if change.turn == turn] for turn in {change.turn for change in changes}),
        key=lambda together: (
            sum(line.peak_memory for line in together),
            sum(line.peak_instances for line in together),
        ),
        default=[],
    )
    return PlanView(
        environment=plan.environment,
        parent=revision_name(plan.environment, plan.parent),
        digest=plan.digest,
        changes=changes,
        unbuilt=planned.unbuilt,
        elsewhere=planned.elsewhere,
        notes=planned.notes,
        peak_instances=sum(change.peak_instances for change in worst),
        peak_memory=sum(change.peak_memory for change in worst),
        unmeasured=sum(change.unmeasured for change in worst),
    )


def _change(
    environment: str, change: Change, releases: Mapping[str, Release], contents: Mapping[str, bytes], past: Past
) -> ChangeLine:
    return ChangeLine(
        revision=f"{environment}@{change.number}" if change.repins else "",
        intent=change.intent,
        components=tuple(
            ComponentLine(pin.component, _action(pin), pin.why, tuple(_differences(pin, releases, contents)))
            for pin in change.pins
        ),
        steps=tuple(
            StepLine(planned.id, planned.phase.value, in_words(planned.step), planned.after, planned.wave)
            for planned in change.steps
        ),
        peak_instances=change.peak_instances,
        peak_memory=change.peak_memory,
        unmeasured=change.unmeasured,
        irreversible=change.irreversible,
        interruptions=tuple(Interruption(name, past.interrupted.get(name)) for name in change.interrupts),
        waves=change.waves,
        turn=change.turn,
        provides=tuple(each.step.resource for each in change.steps if isinstance(each.step, Provide)),
        withdraws=tuple(each.step.resource for each in change.steps if isinstance(each.step, Withdraw)),
    )


def in_words(step: Step) -> str:
    """One line for people."""
    match step:
        case Prepare():
            return f"check the artifact of {step.component} {short(step.release)}"
        case Start():
            edges = ", ".join(f"{need} → {group.name if group else 'nothing'}" for need, group in step.edges)
            many = "instance" if step.pin.shape.replicas == 1 else "instances"
            wired = f", wired {edges}" if edges else ""
            return f"start {step.group.name}: {step.pin.shape.replicas} {many} until healthy{wired}"
        case Replace():
            stopped = f"stop {', '.join(group.name for group in step.stops)}, then " if step.stops else ""
            edges = ", ".join(f"{need} → {group.name if group else 'nothing'}" for need, group in step.edges)
            wired = f", wired {edges}" if edges else ""
            many = "instance" if step.pin.shape.replicas == 1 else "instances"
            return f"{stopped}start {step.group.name}: {step.pin.shape.replicas} {many} until healthy{wired}"
        case Provide():
            return f"start resource {step.resource} until healthy"
        case Withdraw():
            return f"stop resource {step.resource}; its data stay"
        case Run():
            return f"run {_RUNS[step.run.what].format(step.run.component)} to its end ({step.run.name})"
        case Revert():
            return f"take back {_RUNS[step.run.what].format(step.run.component)} ({step.run.name})"
        case Assume():
            return f"count {step.run.name} as {step.state.value if step.state else 'never run'}"
        case Verify():
            return f"verify {step.group.name}, unseen by users"
        case Route():
            moved = [f"{move.component} → {move.to.name if move.to else 'nothing'}" for move in step.entries]
            moved += [f"{move.edge} → {move.to.name if move.to else 'nothing'}" for move in step.edges]
            return f"switch at once: {', '.join(moved)}"
        case Observe():
            return f"observe for {step.seconds} s: no restart, no failed check, at most {step.max_errors / 100:g} % 5xx"
        case Scale():
            return f"scale {step.group.name} down to {step.replicas}"
        case Retire():
            return f"retire {step.group.name}: drain, stop, remove"
        case _:
            assert_never(step)


def _action(pin: PinChange) -> str:
    if pin.old == pin.new:
        return "repaired"
    return "comes" if pin.old is None else "goes" if pin.new is None else "changes"


def _differences(pin: PinChange, releases: Mapping[str, Release], contents: Mapping[str, bytes]) -> list[Difference]:
    old, new = pin.old, pin.new
    found = [("release", _release(old, releases), _release(new, releases))]
    task = any(releases[each.release].kind is Kind.TASK for each in (old, new) if each and each.release in releases)
    if not task:
        found.append(("replicas", str(old.shape.replicas) if old else "", str(new.shape.replicas) if new else ""))
    if not task and (old and old.shape.exposed) != (new and new.shape.exposed):
        found.append(("exposed", _yes(old), _yes(new)))
    before, after = dict(old.shape.env if old else ()), dict(new.shape.env if new else ())
    found += [(f"env.{name}", _shown(before.get(name)), _shown(after.get(name))) for name in sorted({*before, *after})]
    if old and new:  # the whole table of one that comes says nothing
        there, then = _cluster(old), _cluster(new)
        found += [(f"kubernetes.{key}", there.get(key, ""), then.get(key, "")) for key in {**there, **then}]
    if old and new and old.settings != new.settings:
        left, right = _settings(contents, old.settings), _settings(contents, new.settings)
        keys = sorted({*left, *right})
        found += [(f"settings.{key}", left.get(key, ""), right.get(key, "")) for key in keys]
    return [Difference(what, one, two) for what, one, two in found if one != two]


def _release(pin: Pin | None, releases: Mapping[str, Release]) -> str:
    if pin is None:
        return ""
    release = releases.get(pin.release)
    commit = f" ({release.commit[:10]}{', dirty' if release.dirty else ''})" if release and release.commit else ""
    return short(pin.release) + commit


def _cluster(pin: Pin) -> dict[str, str]:
    fields = cluster_to_json(pin.shape.cluster) if pin.shape.cluster else {}
    return {key: json.dumps(value, ensure_ascii=False) if value else "" for key, value in fields.items()}


def _yes(pin: Pin | None) -> str:
    return "" if pin is None else "yes" if pin.shape.exposed else "no"


def _shown(value: Value | None) -> str:
    if value is None:
        return ""
    return f"secret {value.reference}" if isinstance(value, Secret) else value


def _settings(contents: Mapping[str, bytes], digest: str) -> dict[str, str]:
    """Dotted key -> JSON of the value; the digest itself where the content is not at hand."""
    if not digest:
        return {}
    if digest not in contents:
        return {"": short(digest)}
    flat: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [("", json.loads(contents[digest]))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
        else:
            flat[path] = json.dumps(value, ensure_ascii=False)
    return flat


async def past_of(planned: Planned, store: Store) -> Past:
    """What the store knows about the past of what a plan changes."""
    digests = {
        pin.old.settings for change in planned.plan.changes for pin in change.pins if pin.old and pin.old.settings
    }
    settings = {digest: await store.blob(digest) for digest in digests - set(planned.settings)}
    interrupted = {}
    for name in {name for change in planned.plan.changes for name in change.interrupts}:
        last = await store.events(environment=planned.plan.environment, kind="interrupted", subject=name, limit=1)
        if last:
            interrupted[name] = float(last[0].body["seconds"])
    return Past(settings, interrupted)
