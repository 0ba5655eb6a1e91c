"""What all objects have: name, labels, annotations; and what a manifest changes about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.errors import TargetError
from tidegate.model.cluster import Patch

Json = dict[str, Any]


def new(
    version: str,
    kind: str,
    namespace: str,
    name: str,
    labels: Mapping[str, str],
    *,
    annotations: Mapping[str, str] | None = None,
    **rest: Any,
) -> Json:
    """An object; `rest` is what stands beside its metadata. `namespace` "" for what is in none."""
    metadata: Json = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def patched(objects: Iterable[Json], patches: Iterable[Patch], component: str) -> list[Json]:
    """The objects with the patches of their kinds. Raises `TargetError` if one changes what Tidegate knows them by."""
    found = list(objects)
    for patch in patches:
        found = [_patched(each, patch, component) if each["kind"] == patch.kind else each for each in found]
    return found


def _patched(obj: Json, patch: Patch, component: str) -> Json:
    result = merged(obj, json.loads(patch.patch))
    if not isinstance(result, dict) or (changed := _changed(obj, result)):
        path = changed if isinstance(result, dict) else "everything"
        raise TargetError(
            f"cannot patch the {patch.kind} {obj['metadata']['name']}",
            f"The patch changes {path}, by which Tidegate knows the object.",
            hint=f"Leave that out of `patches:` of {component}.",
            address=component,
        )
    return result


def _changed(obj: Any, result: Any) -> str:
    """The first of our own names, labels, annotations and selectors that is not as it was, "" if all are."""
    for key in ("apiVersion", "kind"):
        if result.get(key) != obj[key]:
            return key
    for path in ("metadata", "spec.template.metadata"):
        before, after = _at(obj, path), _at(result, path)
        if before is None:
            continue
        for part in ("name", "namespace"):
            if before.get(part) != _get(after, part):
                return f"{path}.{part}"
        for part in ("labels", "annotations"):
            for key, value in before.get(part, {}).items():
                if _get(_get(after, part), key) != value:
                    return f"{path}.{part}[{key}]"
    return "spec.selector" if _at(obj, "spec.selector") != _at(result, "spec.selector") else ""


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = _get(value, part)
    return value


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def merged(value: Any, patch: Any) -> Any:
    """`value` after a JSON merge patch (RFC 7396); neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), change)
    return result


def literal(text: str) -> str:
    """Text that a kubelet hands over as it is, in commands and variables: there `$(NAME)` is replaced, `$$` is `$`."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def seconds(milliseconds: int) -> int:
    """Whole seconds, rounded up: a cluster knows no smaller ones."""
    return -(-milliseconds // 1000)
