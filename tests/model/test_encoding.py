"""What is kept or saved as JSON comes back exactly, and what is not exactly that is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import StoreError
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure, Patch
from tidegate.model.component import Health, HealthKind, Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.encoding import (
    pins_from_json,
    pins_to_json,
    plan_from_json,
    plan_to_json,
    step_from_json,
    step_to_json,
)
from tidegate.model.pins import Pin, Resource, Secret, Shape
from tidegate.model.plan import Change, Phase, PinChange, Plan, PlannedStep
from tidegate.model.release_json import release_from_json, release_to_json
from tidegate.model.step import (
    EdgeMove,
    EntryMove,
    Observe,
    Prepare,
    Retire,
    Route,
    Scale,
    Start,
    Verify,
)

words = st.text(max_size=8)
numbers = st.integers(0, 10**12)
texts = st.lists(words, max_size=3).map(tuple)
groups = st.builds(GroupAddress, words, words, numbers)
maybe_groups = st.none() | groups
edges = st.builds(EdgeAddress, groups, words)
env = st.dictionaries(words, words | st.builds(Secret, words), max_size=3).map(lambda d: tuple(sorted(d.items())))
quantities = st.dictionaries(words, words, max_size=2).map(lambda d: tuple(sorted(d.items())))
clusters = st.builds(
    ClusterShape,
    quantities,
    quantities,
    st.sampled_from(Exposure),
    words,
    words,
    texts,
    st.none() | st.builds(Autoscale, numbers, numbers, numbers),
    st.lists(st.builds(Alias, words, numbers), max_size=2).map(tuple),
    st.lists(st.builds(Patch, words, words), max_size=2).map(tuple),
)
resources = st.builds(Resource, words, words, data=st.booleans(), grace=numbers, image=words)
provided = st.dictionaries(words, resources, max_size=2).map(lambda d: tuple(sorted(d.items())))
pins = st.builds(Pin, words, words, st.builds(Shape, numbers, st.booleans(), env, provided, st.none() | clusters))
steps = st.one_of(
    st.builds(Prepare, words, words),
    st.builds(Start, groups, pins, st.lists(st.tuples(words, maybe_groups), max_size=3).map(tuple)),
    st.builds(Verify, groups, words),
    st.builds(
        Route,
        st.lists(st.builds(EntryMove, words, maybe_groups), max_size=2).map(tuple),
        st.lists(st.builds(EdgeMove, edges, maybe_groups), max_size=2).map(tuple),
    ),
    st.builds(
        Observe,
        st.lists(groups, max_size=2).map(tuple),
        texts,
        st.lists(edges, max_size=2).map(tuple),
        numbers,
        numbers,
    ),
    st.builds(Scale, groups, numbers),
    st.builds(Retire, groups),
)
planned = st.builds(PlannedStep, words, st.sampled_from(Phase), steps, texts)
pin_changes = st.builds(PinChange, words, st.none() | pins, st.none() | pins, texts)
changes = st.builds(
    Change,
    numbers,
    st.lists(pin_changes, max_size=2).map(tuple),
    st.lists(planned, max_size=3).map(tuple),
    words,
    numbers,
    numbers,
    numbers,
    texts,
)
plans = st.builds(Plan, words, numbers, st.lists(changes, max_size=2).map(tuple))
runtimes = st.builds(
    Runtime,
    words,
    words,
    st.builds(Health, st.sampled_from(HealthKind), words, numbers, numbers, numbers, numbers),
    st.none() | words,
    texts,
    st.none() | numbers,
    numbers,
    numbers,
)
releases = st.builds(
    Release,
    words,
    words,
    st.sampled_from(Kind),
    words,
    runtimes,
    words,
    words,
    st.booleans(),
    words,
    st.floats(0, 1e10, allow_nan=False),
)


@settings(max_examples=60, deadline=None)
@given(plans)
def test_a_plan_comes_back_exactly_with_its_digest(plan: Plan) -> None:
    """From a file, from the store, from another process: the same steps, the same name."""
    encoded = plan_to_json(plan)
    found = plan_from_json(json.loads(json.dumps(encoded, sort_keys=True)))
    assert found == plan
    assert found.digest == digest("plan", encoded)
    assert plan_to_json(found) == encoded


@settings(max_examples=60, deadline=None)
@given(steps)
def test_every_kind_of_step_comes_back_exactly(step: Any) -> None:
    """Alone, as an agent gets it."""
    assert step_from_json(json.loads(json.dumps(step_to_json(step), sort_keys=True))) == step


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(words, pins, max_size=3))
def test_pins_come_back_exactly(some: dict[str, Pin]) -> None:
    """With their digests: a group that runs is known again."""
    found = pins_from_json(json.loads(json.dumps(pins_to_json(some), sort_keys=True)))
    assert found == some
    assert {name: pin.identity for name, pin in found.items()} == {name: pin.identity for name, pin in some.items()}


@settings(max_examples=40, deadline=None)
@given(releases)
def test_a_release_comes_back_exactly(release: Release) -> None:
    """It carries all that is needed to run it, so that promoting needs no checkout."""
    assert release_from_json(json.loads(json.dumps(release_to_json(release), sort_keys=True))) == release


GROUP = GroupAddress("dev", "backend", 4)
PLAN = Plan(
    "dev",
    3,
    (
        Change(
            4,
            (PinChange("backend", None, Pin("sha256:r", "", Shape(2, True, (("A", "b"),)))),),
            (PlannedStep("retire", Phase.FINISH, Retire(GROUP)),),
            "sha256:i",
        ),
    ),
)


def broken(*path: str | int, to: Any = None, drop: bool = False) -> Any:
    """The JSON of `PLAN`, changed at one place."""
    value: Any = copy.deepcopy(plan_to_json(PLAN))
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(broken("version", to=2), "version 2", id="newer version"),
        pytest.param(broken("version", to=True), "version True", id="true is not 1"),
        pytest.param(broken("version", drop=True), "version None", id="no version"),
        pytest.param(broken("force", to=True), "unknown: force", id="unknown key at the top"),
        pytest.param(broken("changes", 0, "steps", 0, "step", "fast", to=1), "unknown: fast", id="unknown key"),
        pytest.param(broken("changes", 0, "intent", drop=True), "missing: intent", id="missing key"),
        pytest.param(broken("changes", 0, "steps", 0, "step", "kind", to="burn"), "'burn'", id="unknown step"),
        pytest.param(broken("changes", 0, "steps", 0, "step", "kind", to=[]), "kind of step", id="no word"),
        pytest.param(broken("changes", 0, "steps", 0, "phase", to="later"), "'later'", id="unknown phase"),
        pytest.param(broken("changes", 0, "number", to="4"), "whole number", id="text for a number"),
        pytest.param(broken("changes", 0, "number", to=True), "whole number", id="truth for a number"),
        pytest.param(broken("changes", 0, "pins", 0, "new", "shape", "env", "A", to=1), "string", id="number in env"),
        pytest.param(broken("changes", to={}), "a list", id="object for a list"),
        pytest.param(broken("environment", to="\ud800"), "no Unicode", id="no text"),
        pytest.param([], "an object", id="no plan at all"),
    ],
)
def test_what_is_not_exactly_a_plan_is_refused(value: Any, said: str) -> None:
    """A plan that somebody edited, or that a newer program wrote, is never half understood."""
    with pytest.raises(StoreError, match="cannot read") as refused:
        plan_from_json(value)
    assert said in str(refused.value)


def test_an_edited_plan_has_another_name() -> None:
    """So an approval of the original does not cover it."""
    assert plan_from_json(broken("parent", to=2)).digest != plan_from_json(plan_to_json(PLAN)).digest


def test_a_plan_of_20_000_steps_is_written_and_read() -> None:
    """Large plans are plans; `bench/store.py` says how fast."""
    step = PlannedStep("start", Phase.PREPARE, Start(GROUP, Pin("sha256:r", "", Shape()), (("db", GROUP),)), ("a",))
    plan = replace(PLAN, changes=(replace(PLAN.changes[0], steps=(step,) * 20_000),))
    assert plan_from_json(plan_to_json(plan)) == plan
