"""Pins, steps and plans as plain JSON, and back: exact both ways. Releases: `tidegate.model.release_json`.

A document that is kept (a plan, a set of pins, a release) carries `version`. Whoever reads one accepts exactly the
keys that this version writes: a key too many was written by somebody who knew more, and leaving it out would change
what the document says. Everything that cannot be read raises `StoreError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, assert_never

from tidegate.errors import StoreError
from tidegate.model.address import EdgeAddress, GroupAddress, RunAddress
from tidegate.model.cluster import cluster_to_json
from tidegate.model.cluster_json import cluster_from_json
from tidegate.model.component import RunKind, health_to_json
from tidegate.model.digest import digest
from tidegate.model.observed import RunState
from tidegate.model.pins import Pin, Pins, Resource, Secret, Shape, Value
from tidegate.model.plan import Change, Phase, PinChange, Plan, PlannedStep
from tidegate.model.release_json import health_from_json
from tidegate.model.step import (
    Assume,
    EdgeMove,
    EntryMove,
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
from tidegate.model.strict import (
    VERSION,
    Json,
    document,
    fields,
    items,
    mapping,
    number,
    text,
    texts,
    truth,
    word,
)

# Pins


def shape_to_json(shape: Shape) -> Json:
    """`{"replicas", "exposed", "env"}`, with `resources` and `cluster` if it has any; a secret is
    `{"secret": REFERENCE}`."""
    env = {name: {"secret": value.reference} if isinstance(value, Secret) else value for name, value in shape.env}
    found = {"replicas": shape.replicas, "exposed": shape.exposed, "env": env}
    if shape.resources:
        found["resources"] = {name: resource_to_json(resource) for name, resource in shape.resources}
    if shape.cluster is not None:
        found["cluster"] = cluster_to_json(shape.cluster)
    return found


def shape_from_json(value: Any) -> Shape:
    """The reverse of `shape_to_json`; `env` and `resources` sorted by name."""
    found = fields(value, "shape", "replicas exposed env", "resources cluster")
    env = mapping(found["env"], "env")
    resources = mapping(found.get("resources", {}), "resources")
    return Shape(
        number(found["replicas"], "replicas"),
        truth(found["exposed"], "exposed"),
        tuple((name, _env_value(env[name])) for name in sorted(env)),
        tuple((name, resource_from_json(resources[name])) for name in sorted(resources)),
        cluster_from_json(found["cluster"]) if "cluster" in found else None,
    )


def resource_to_json(resource: Resource) -> Json:
    """Every field by its name; `image` if it has one."""
    found = {
        "run": resource.run,
        "url": resource.url,
        "health": health_to_json(resource.health),
        "data": resource.data,
        "grace": resource.grace,
    }
    return found | ({"image": resource.image} if resource.image else {})


def resource_from_json(value: Any) -> Resource:
    """The reverse of `resource_to_json`."""
    found = fields(value, "resource", "run url health data grace", "image")
    return Resource(
        text(found["run"], "run"),
        text(found["url"], "url"),
        health_from_json(found["health"]),
        truth(found["data"], "data"),
        number(found["grace"], "grace"),
        text(found.get("image", ""), "image"),
    )


def pin_to_json(pin: Pin) -> Json:
    """`{"release", "settings", "shape"}`."""
    return {"release": pin.release, "settings": pin.settings, "shape": shape_to_json(pin.shape)}


def pin_from_json(value: Any) -> Pin:
    """The reverse of `pin_to_json`."""
    found = fields(value, "pin", "release settings shape")
    return Pin(text(found["release"], "release"), text(found["settings"], "settings"), shape_from_json(found["shape"]))


def pins_to_json(pins: Pins) -> Json:
    """`{"version", "pins": {COMPONENT: PIN}}`."""
    return {"version": VERSION, "pins": {component: pin_to_json(pin) for component, pin in pins.items()}}


def pins_from_json(value: Any) -> dict[str, Pin]:
    """The reverse of `pins_to_json`."""
    found = document(value, "set of pins", "pins")
    return {component: pin_from_json(pin) for component, pin in mapping(found["pins"], "pins").items()}


# Steps


def step_to_json(step: Step) -> Json:
    """`{"kind": "start", …}` with every field of the step by its name."""
    match step:
        case Prepare():
            return {"kind": "prepare", "component": step.component, "release": step.release}
        case Start():
            return {"kind": "start", **_born(step)}
        case Replace():
            return {"kind": "replace", **_born(step), "stops": [_group(group) for group in step.stops]}
        case Verify():
            return {"kind": "verify", "group": _group(step.group), "release": step.release}
        case Route():
            return {
                "kind": "route",
                "entries": [{"component": move.component, "to": _group_or_none(move.to)} for move in step.entries],
                "edges": [{"edge": _edge(move.edge), "to": _group_or_none(move.to)} for move in step.edges],
            }
        case Observe():
            return {
                "kind": "observe",
                "groups": [_group(group) for group in step.groups],
                "entries": list(step.entries),
                "edges": [_edge(edge) for edge in step.edges],
                "seconds": step.seconds,
                "max_errors": step.max_errors,
            }
        case Scale():
            return {"kind": "scale", "group": _group(step.group), "replicas": step.replicas}
        case Retire():
            return {"kind": "retire", "group": _group(step.group)}
        case Provide():
            return {"kind": "provide", "resource": step.resource, "spec": resource_to_json(step.spec)}
        case Withdraw():
            return {"kind": "withdraw", "resource": step.resource}
        case Run():
            return {"kind": "run", "run": run_address_to_json(step.run), "pin": pin_to_json(step.pin)}
        case Revert():
            return {"kind": "revert", "run": run_address_to_json(step.run), "pin": pin_to_json(step.pin)}
        case Assume():
            state = None if step.state is None else step.state.value
            return {"kind": "assume", "run": run_address_to_json(step.run), "state": state}
        case _:
            assert_never(step)


def step_from_json(value: Any) -> Step:
    """The reverse of `step_to_json`."""
    kind = value.get("kind") if type(value) is dict else None
    if type(kind) is not str or kind not in _STEPS:
        raise StoreError(
            "cannot read a step",
            f"There is no kind of step {kind!r} here.",
            hint="A newer Tidegate may have written it.",
        )
    keys, read = _STEPS[kind]
    return read(fields(value, f"step {kind}", keys))


def _born(step: Start | Replace) -> Json:
    edges = [{"need": need, "to": _group_or_none(group)} for need, group in step.edges]
    return {"group": _group(step.group), "pin": pin_to_json(step.pin), "edges": edges}


def _edges(found: Json) -> tuple[tuple[str, GroupAddress | None], ...]:
    edges = [fields(edge, "edge from birth", "need to") for edge in items(found["edges"], "edges")]
    return tuple((text(edge["need"], "need"), _to_group_or_none(edge["to"])) for edge in edges)


def _start(found: Json) -> Start:
    return Start(_to_group(found["group"]), pin_from_json(found["pin"]), _edges(found))


def _replace(found: Json) -> Replace:
    stops = tuple(_to_group(group) for group in items(found["stops"], "stops"))
    return Replace(_to_group(found["group"]), pin_from_json(found["pin"]), _edges(found), stops)


def _route(found: Json) -> Route:
    entries = [fields(move, "move of an entry", "component to") for move in items(found["entries"], "entries")]
    edges = [fields(move, "move of an edge", "edge to") for move in items(found["edges"], "edges")]
    return Route(
        tuple(EntryMove(text(move["component"], "component"), _to_group_or_none(move["to"])) for move in entries),
        tuple(EdgeMove(_to_edge(move["edge"]), _to_group_or_none(move["to"])) for move in edges),
    )


def _observe(found: Json) -> Observe:
    return Observe(
        tuple(_to_group(group) for group in items(found["groups"], "groups")),
        texts(found["entries"], "entries"),
        tuple(_to_edge(edge) for edge in items(found["edges"], "edges")),
        number(found["seconds"], "seconds"),
        number(found["max_errors"], "max_errors"),
    )


_STEPS: Mapping[Any, tuple[str, Callable[[Json], Step]]] = {
    "prepare": (
        "kind component release",
        lambda found: Prepare(text(found["component"], "component"), text(found["release"], "release")),
    ),
    "start": ("kind group pin edges", _start),
    "verify": (
        "kind group release",
        lambda found: Verify(_to_group(found["group"]), text(found["release"], "release")),
    ),
    "route": ("kind entries edges", _route),
    "observe": ("kind groups entries edges seconds max_errors", _observe),
    "scale": (
        "kind group replicas",
        lambda found: Scale(_to_group(found["group"]), number(found["replicas"], "replicas")),
    ),
    "retire": ("kind group", lambda found: Retire(_to_group(found["group"]))),
    "replace": ("kind group pin edges stops", _replace),
    "provide": (
        "kind resource spec",
        lambda found: Provide(text(found["resource"], "resource"), resource_from_json(found["spec"])),
    ),
    "withdraw": ("kind resource", lambda found: Withdraw(text(found["resource"], "resource"))),
    "run": ("kind run pin", lambda found: Run(run_address_from_json(found["run"]), pin_from_json(found["pin"]))),
    "revert": (
        "kind run pin",
        lambda found: Revert(run_address_from_json(found["run"]), pin_from_json(found["pin"])),
    ),
    "assume": (
        "kind run state",
        lambda found: Assume(
            run_address_from_json(found["run"]),
            None if found["state"] is None else word(RunState, found["state"], "state"),
        ),
    ),
}


# Plans


def plan_to_json(plan: Plan) -> Json:
    """All of the plan but its digest, which is computed from this (`sealed`)."""
    return {
        "version": VERSION,
        "environment": plan.environment,
        "parent": plan.parent,
        "changes": [_change_to_json(change) for change in plan.changes],
    }


def sealed(plan: Plan) -> Plan:
    """The plan with the digest that its content gives it."""
    return replace(plan, digest=digest("plan", plan_to_json(plan)))


def plan_from_json(value: Any) -> Plan:
    """The reverse of `plan_to_json`; the digest is computed, so a plan cannot claim to be another one."""
    found = document(value, "plan", "environment parent changes")
    try:
        name = digest("plan", value)
    except UnicodeEncodeError as error:  # half of a surrogate pair: JSON can write it, nothing else can
        raise StoreError(
            "cannot read a plan", "A text in it is no Unicode.", hint="It may have been changed."
        ) from error
    return Plan(
        environment=text(found["environment"], "environment"),
        parent=number(found["parent"], "parent"),
        changes=tuple(_change_from_json(change) for change in items(found["changes"], "changes")),
        digest=name,
    )


_CHANGE = "number pins steps intent peak_instances peak_memory unmeasured irreversible"


def _change_to_json(change: Change) -> Json:
    found: Json = {
        "number": change.number,
        "pins": [
            {
                "component": pin.component,
                "old": None if pin.old is None else pin_to_json(pin.old),
                "new": None if pin.new is None else pin_to_json(pin.new),
                "why": list(pin.why),
            }
            for pin in change.pins
        ],
        "steps": [_planned_to_json(planned) for planned in change.steps],
        "intent": change.intent,
        "peak_instances": change.peak_instances,
        "peak_memory": change.peak_memory,
        "unmeasured": change.unmeasured,
        "irreversible": list(change.irreversible),
    }
    if change.neighbours:
        found["neighbours"] = list(change.neighbours)
    if change.interrupts:
        found["interrupts"] = list(change.interrupts)
    if change.turn:
        found["turn"] = change.turn
    return found


def _planned_to_json(planned: PlannedStep) -> Json:
    found: Json = {
        "id": planned.id,
        "phase": planned.phase.value,
        "step": step_to_json(planned.step),
        "after": list(planned.after),
    }
    if planned.wave:
        found["wave"] = planned.wave
    return found


def _change_from_json(value: Any) -> Change:
    found = fields(value, "change", _CHANGE, "neighbours interrupts turn")
    return Change(
        number=number(found["number"], "number"),
        pins=tuple(_pin_change(pin) for pin in items(found["pins"], "pins")),
        steps=tuple(_planned(step) for step in items(found["steps"], "steps")),
        intent=text(found["intent"], "intent"),
        peak_instances=number(found["peak_instances"], "peak_instances"),
        peak_memory=number(found["peak_memory"], "peak_memory"),
        unmeasured=number(found["unmeasured"], "unmeasured"),
        irreversible=texts(found["irreversible"], "irreversible"),
        neighbours=texts(found.get("neighbours", []), "neighbours"),
        interrupts=texts(found.get("interrupts", []), "interrupts"),
        turn=number(found.get("turn", 0), "turn"),
    )


def _pin_change(value: Any) -> PinChange:
    found = fields(value, "changed pin", "component old new why")
    old, new = found["old"], found["new"]
    return PinChange(
        text(found["component"], "component"),
        None if old is None else pin_from_json(old),
        None if new is None else pin_from_json(new),
        texts(found["why"], "why"),
    )


def _planned(value: Any) -> PlannedStep:
    found = fields(value, "planned step", "id phase step after", "wave")
    return PlannedStep(
        text(found["id"], "id"),
        word(Phase, found["phase"], "phase"),
        step_from_json(found["step"]),
        texts(found["after"], "after"),
        number(found.get("wave", 0), "wave"),
    )


# Addresses


def run_address_to_json(run: RunAddress) -> Json:
    """Every field by its name."""
    return {
        "environment": run.environment,
        "component": run.component,
        "release": run.release,
        "what": run.what.value,
        "turn": run.turn,
    }


def run_address_from_json(value: Any) -> RunAddress:
    """The reverse of `run_address_to_json`."""
    found = fields(value, "run", "environment component release what turn")
    return RunAddress(
        text(found["environment"], "environment"),
        text(found["component"], "component"),
        text(found["release"], "release"),
        word(RunKind, found["what"], "what"),
        number(found["turn"], "turn"),
    )


def _group(group: GroupAddress) -> Json:
    return {"environment": group.environment, "component": group.component, "born": group.born}


def _group_or_none(group: GroupAddress | None) -> Json | None:
    return None if group is None else _group(group)


def _edge(edge: EdgeAddress) -> Json:
    return {"group": _group(edge.group), "need": edge.need}


def _to_group(value: Any) -> GroupAddress:
    found = fields(value, "group", "environment component born")
    return GroupAddress(
        text(found["environment"], "environment"), text(found["component"], "component"), number(found["born"], "born")
    )


def _to_group_or_none(value: Any) -> GroupAddress | None:
    return None if value is None else _to_group(value)


def _to_edge(value: Any) -> EdgeAddress:
    found = fields(value, "edge", "group need")
    return EdgeAddress(_to_group(found["group"]), text(found["need"], "need"))


def _env_value(value: Any) -> Value:
    if type(value) is dict:
        return Secret(text(fields(value, "secret", "secret")["secret"], "secret"))
    return text(value, "environment variable")
