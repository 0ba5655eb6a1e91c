"""Whether a namespace has room for more objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
_UNITS = {
    "": Decimal(1),
    **{unit: Decimal(1024) ** (place + 1) for place, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    **{unit: Decimal(1000) ** (place + 1) for place, unit in enumerate(("k", "M", "G", "T", "P", "E"))},
    **{unit: Decimal(1000) ** -(place + 1) for place, unit in enumerate(("m", "u", "n"))},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")
_COUNTS = {
    "Deployment": ("count/deployments.apps",),
    "Service": ("services", "count/services"),
    "ConfigMap": ("configmaps", "count/configmaps"),
    "PersistentVolumeClaim": ("persistentvolumeclaims", "count/persistentvolumeclaims"),
}


def amount(quantity: str) -> Decimal:
    """A quantity such as `250m`, `64Mi`, `2`, `1e3`. Raises ValueError."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{quantity!r} is no quantity")
    return Decimal(found[1]) * _UNITS[found[2]]


def needed(objects: Iterable[Json]) -> dict[str, Decimal]:
    """What these objects take of a quota, by the quota's names."""
    total: dict[str, Decimal] = {}

    def add(name: str, value: Decimal) -> None:
        total[name] = total.get(name, Decimal()) + value

    for obj in objects:
        for name in _COUNTS.get(obj["kind"], ()):
            add(name, Decimal(1))
        if obj["kind"] == "PersistentVolumeClaim":
            add("requests.storage", amount(obj["spec"]["resources"]["requests"]["storage"]))
        if obj["kind"] == "Deployment":
            replicas = Decimal(obj["spec"].get("replicas", 1))
            for name, value in _of_pod(obj["spec"]["template"]["spec"]).items():
                add(name, value * replicas)
    return total


def short_of(quota: Mapping[str, Any], objects: Iterable[Json]) -> list[str]:
    """Where the quota has less left than the objects need, in words. One that holds for some pods only is passed over:
    the cluster decides for which."""
    spec = quota.get("spec", {})
    if spec.get("scopes") or spec.get("scopeSelector"):
        return []
    status = quota.get("status", {})
    hard, used = status.get("hard") or spec.get("hard", {}), status.get("used", {})
    found = []
    for name, wanted in sorted(needed(objects).items()):
        if name in hard:
            free = amount(hard[name]) - amount(used.get(name, "0"))
            if wanted > free:
                found.append(
                    f"quota {quota['metadata']['name']}: {name}: {_shown(wanted)} more are needed, "
                    f"{used.get(name, '0')} of {hard[name]} are used"
                )
    return found


def _of_pod(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """Containers, and the sidecars that live as long as they do."""
    found = {"pods": Decimal(1), "count/pods": Decimal(1)}
    sidecars = [each for each in pod.get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    for container in [*pod["containers"], *sidecars]:
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        requests = {**limits, **(resources.get("requests") or {})}  # what is not requested is its limit
        for part, values in (("requests", requests), ("limits", limits)):
            for name, value in values.items():
                names = (f"{part}.{name}", name) if part == "requests" else (f"{part}.{name}",)
                for each in names:
                    found[each] = found.get(each, Decimal()) + amount(str(value))
    return found


def _shown(value: Decimal) -> str:
    for unit in ("Gi", "Mi", "Ki"):
        if value >= _UNITS[unit] and value % _UNITS[unit] == 0:
            return f"{value / _UNITS[unit]:f}{unit}"
    return f"{value.normalize():f}"
