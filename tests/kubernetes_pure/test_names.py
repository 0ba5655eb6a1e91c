"""What things are called in a cluster."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.drivers.kubernetes import names
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.digest import digest

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
COMPONENTS = st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True) | st.sampled_from(
    ["a", "a-", "a--b", "b", "resource", "data", "a-r1", "a-r1--b", "a---0123456789", "admit", "expose", "x" * 40]
)
GROUPS = st.builds(GroupAddress, st.just("stage"), COMPONENTS, st.integers(1, 10**6) | st.just(1))
SERVICES = (
    COMPONENTS.map(lambda name: ("entry", name, names.component_name(name)))
    | COMPONENTS.map(lambda name: ("resource", name, names.resource_name(name)))
    | st.builds(EdgeAddress, GROUPS, COMPONENTS).map(lambda edge: ("edge", edge, names.edge_name(edge)))
)
DEPLOYMENTS = GROUPS.map(lambda group: ("group", group, names.group_name(group))) | COMPONENTS.map(
    lambda name: ("resource", name, names.resource_name(name))
)
POLICIES = st.just(("closed", "", names.CLOSED)) | COMPONENTS.flatmap(
    lambda name: st.sampled_from(
        [
            ("admit", name, names.policy_name(name)),
            ("expose", name, names.exposed_name(name)),
            ("resource", name, names.resource_name(name)),
        ]
    )
)
CLAIMS = COMPONENTS.flatmap(
    lambda name: st.sampled_from([("data", name, names.data_name(name)), ("resource", name, names.resource_name(name))])
)
MAPS = st.just(("claim", "", names.CLAIM)) | st.builds(
    lambda name, settings: ("settings", (name, settings), names.settings_name(name, settings)),
    COMPONENTS,
    st.sampled_from([digest("settings", "1"), digest("settings", "2")]),
)


KINDS: dict[str, st.SearchStrategy[tuple[str, object, str]]] = {
    "Service": SERVICES,
    "Deployment": DEPLOYMENTS,
    "NetworkPolicy": POLICIES,
    "PersistentVolumeClaim": CLAIMS,
    "ConfigMap": MAPS,
}


@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data())
def test_two_things_never_share_a_name_and_every_name_is_one(kind: str, data: st.DataObject) -> None:
    """Whatever components are called: objects of one kind in one namespace."""
    what, first, name = data.draw(KINDS[kind])
    other_what, second, other = data.draw(KINDS[kind])
    assert DNS_1035.fullmatch(name)
    assert (name == other) == ((what, first) == (other_what, second))


def test_names_say_what_they_are_of() -> None:
    """As long as there is room."""
    group = GroupAddress("stage", "frontend", 44)
    assert names.group_name(group) == "frontend-r44"
    assert names.edge_name(EdgeAddress(group, "backend")) == "frontend-r44--backend"
    assert names.component_name("backend") == "backend"
    long = names.edge_name(EdgeAddress(GroupAddress("stage", "f" * 40, 44), "b" * 40))
    assert long.startswith("f" * 40 + "-r44--b")
    assert len(long) == 63


@given(st.text(max_size=90))
def test_any_text_can_be_a_label(text: str) -> None:
    """Environments and organizations have labels too."""
    assert DNS_1035.fullmatch(names.fit(text))


@given(GROUPS | st.none())
def test_a_group_is_read_back_from_an_annotation(group: GroupAddress | None) -> None:
    """Exactly, however its name was shortened."""
    said = {names.LEADS_TO: names.to_text(names.group_to_json(group))}
    assert names.leads_to({"metadata": {"annotations": said}}) == group
