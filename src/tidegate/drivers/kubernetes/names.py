"""What everything is called in a cluster: objects, labels, annotations, ports. Pure.

Components may be called what a cluster does not allow (`a--b`, `a-`), and two names joined can be too long. Such names
are shortened and get a hash behind `---`, which stands in no other name; so two things never share a name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.digest import short

Json = dict[str, Any]

# Labels

MANAGED_BY = "app.kubernetes.io/managed-by"
TIDEGATE = "tidegate"
ORGANIZATION = "tidegate.dev/organization"
ENVIRONMENT = "tidegate.dev/environment"
COMPONENT = "tidegate.dev/component"
GROUP = "tidegate.dev/group"
ROLE = "tidegate.dev/role"
NEED = "tidegate.dev/need"
RESOURCE = "tidegate.dev/resource"
NEEDS = "needs.tidegate.dev/"
"""Begins the label that lets a pod in to a component."""
USES = "uses.tidegate.dev/"
"""Begins the label that lets a pod in to a resource."""

# Values of ROLE

INSTANCE = "instance"
ENTRY = "entry"
EDGE = "edge"
ALIAS = "alias"
RUN = "run"

# Annotations. Labels may be shortened; these are exact.

PIN = "tidegate.dev/pin"
IDENTITY = "tidegate.dev/identity"
RELEASE = "tidegate.dev/release"
GROUP_ADDRESS = "tidegate.dev/group-address"
EDGES = "tidegate.dev/edges"
LEADS_TO = "tidegate.dev/leads-to"
EPOCH = "tidegate.dev/epoch"
EXACT = "tidegate.dev/name"
"""The exact name of what an object is for: the component of an entry, the need of an edge, a resource."""
HOST = "tidegate.dev/host"
"""On the Service of an entry: the name that an ingress or gateway answers to."""
URL = "tidegate.dev/url"
"""On a resource: what components get."""
RUN_ADDRESS = "tidegate.dev/run-address"
ASSUMED = "tidegate.dev/assumed"
"""On a run: the state that a person said it has."""

# Ports and names that are the same everywhere

PORT = 8080
"""Where programs listen, unless they can on one port only."""
PROXY_PORT = 15080
STATS_PORT = 15090
SERVICE_PORT = 80
TARGET_PORT = "http"
"""The port of an instance that Services lead to, by its name: that of the proxy where there is one."""
PROGRAM = "program"
PROXY = "proxy"
CLAIM = "tidegate-claim"
CLOSED = "tidegate-closed"

_LONGEST = 63
_HASH = 10
_PLAIN = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def fit(name: str, most: int = _LONGEST) -> str:
    """A name that a cluster takes for any object or label: `name` itself if it is one, else shortened with a hash."""
    if len(name) <= most and _PLAIN.fullmatch(name) and "---" not in name:
        return name
    return _hashed(name, name, most)


def _hashed(shown: str, meant: str, most: int = _LONGEST) -> str:
    head = re.sub(r"[^a-z0-9-]", "-", shown.lower())[: most - _HASH - 3].strip("-")
    head = head if head[:1].isalpha() else f"x{head}"[: most - _HASH - 3]
    return f"{head}---{hashlib.sha256(meant.encode()).hexdigest()[:_HASH]}"


def _joined(*parts: str) -> str:
    """`a--b`, from which nothing but `a` and `b` can be read."""
    shown = "--".join(parts)
    plain = all(_PLAIN.fullmatch(part) and "--" not in part for part in parts)
    return shown if plain and len(shown) <= _LONGEST else _hashed(shown, json.dumps(parts))


def group_name(group: GroupAddress) -> str:
    """Of the Deployment of a group, its autoscaler and its budget; also its label."""
    return fit(group.name)


def edge_name(edge: EdgeAddress) -> str:
    """Of the Service of an edge: `frontend-r44--backend`."""
    return _joined(edge.group.name, edge.need)


def component_name(component: str) -> str:
    """Of the Service of an entry, of the ServiceAccount, of the Ingress or HTTPRoute."""
    return _joined(component)


def resource_name(resource: str) -> str:
    """Of the Deployment, the Service and all else of a resource. No group ends so, no edge begins so."""
    return _joined("resource", resource)


def settings_name(component: str, settings: str) -> str:
    """Of the ConfigMap of settings, named by their digest."""
    return _joined(component, f"settings-{short(settings)}")


def secret_name(owner: str) -> str:
    """Of the Secret of a Deployment or Job that is called `owner`."""
    return fit(f"{owner}--secrets")


def data_name(component: str) -> str:
    """Of the PersistentVolumeClaim of a component."""
    return _joined("data", component)


def policy_name(component: str) -> str:
    """Of the NetworkPolicy that admits callers of a component."""
    return _joined("admit", component)


def exposed_name(component: str) -> str:
    """Of the NetworkPolicy that admits everybody to a component."""
    return _joined("expose", component)


def labels(environment: str, **more: str) -> dict[str, str]:
    """Of everything that is made for an environment; `more` are `component`, `group`, `role`, `need`, `resource`."""
    keys = {"component": COMPONENT, "group": GROUP, "role": ROLE, "need": NEED, "resource": RESOURCE}
    given = {keys[key]: fit(value) for key, value in more.items()}
    return {MANAGED_BY: TIDEGATE, ENVIRONMENT: fit(environment), **given}


def needs_label(component: str) -> str:
    """The label that lets a pod in to a component; its value is `true`."""
    return NEEDS + fit(component)


def uses_label(resource: str) -> str:
    """The label that lets a pod in to a resource; its value is `true`."""
    return USES + fit(resource)


def instances_of(group: GroupAddress | None) -> dict[str, str]:
    """The selector of the pods of a group; None: one that selects nothing, as no selector at all would leave a
    Service leading where it did."""
    return {GROUP: "none" if group is None else group_name(group), ROLE: INSTANCE}


# Annotations with a structure


def to_text(value: Any) -> str:
    """Canonical JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def group_to_json(group: GroupAddress | None) -> Json | None:
    """Every field by its name."""
    if group is None:
        return None
    return {"environment": group.environment, "component": group.component, "born": group.born}


def group_from_json(value: Any) -> GroupAddress | None:
    """The reverse of `group_to_json`. Raises KeyError, TypeError, ValueError."""
    if value is None:
        return None
    environment, component, born = value["environment"], value["component"], value["born"]
    if not (isinstance(environment, str) and isinstance(component, str) and type(born) is int):
        raise TypeError("it is no group")
    return GroupAddress(environment, component, born)


def leads_to(obj: Mapping[str, Any]) -> GroupAddress | None:
    """The group that the Service of an entry or edge leads to. Raises `TargetError`."""
    return _group_of(obj, LEADS_TO)


def group_of(obj: Mapping[str, Any]) -> GroupAddress:
    """The group that an object is, or belongs to. Raises `TargetError`."""
    group = _group_of(obj, GROUP_ADDRESS)
    if group is None:
        raise unreadable(obj, GROUP_ADDRESS)
    return group


def _group_of(obj: Mapping[str, Any], name: str) -> GroupAddress | None:
    try:
        return group_from_json(json.loads(annotation(obj, name)))
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(obj, name) from error


def annotation(obj: Mapping[str, Any], name: str) -> str:
    """One that has to be there. Raises `TargetError`."""
    found = obj["metadata"].get("annotations", {}).get(name)
    if not isinstance(found, str):
        raise unreadable(obj, name)
    return found


def unreadable(obj: Mapping[str, Any], name: str) -> TargetError:
    """The error for an object whose annotation is not what was written."""
    metadata = obj["metadata"]
    what = f"{obj.get('kind', 'object')} {metadata.get('name', '')}"
    found = metadata.get("annotations", {}).get(name)
    return TargetError(
        f"cannot read the {what} in the namespace {metadata.get('namespace', '')}",
        f"Its annotation {name} is {'not there' if found is None else f'{found[:80]!r}'}.",
        hint="Somebody changed it by hand, or it was written by a newer Tidegate. Put it back, use the version that "
        f"wrote it, or take the object away from Tidegate by removing its label {MANAGED_BY}.",
    )
