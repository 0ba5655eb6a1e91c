"""What the proxy of an instance has counted. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.drivers.kubernetes.names import PROXY
from tidegate.errors import TargetError

_PREFIX = "http.inbound.downstream_rq_"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Answers, how many of them were errors (5xx), and requests that are under way."""

    answers: int
    errors: int
    active: int


NONE = Traffic(0, 0, 0)


def traffic_of(stats: bytes) -> Traffic:
    """From what Envoy says as JSON: `{"stats": [{"name", "value"}]}`. Raises `TargetError`."""
    try:
        counted = {each["name"]: int(each["value"]) for each in json.loads(stats)["stats"] if "name" in each}
    except (ValueError, LookupError, TypeError) as error:
        raise TargetError(
            "cannot read what a proxy counted", "It is not what Envoy says.", hint="Is `proxy:` an image of Envoy?"
        ) from error
    classes = [counted.get(f"{_PREFIX}{what}", 0) for what in ("2xx", "3xx", "4xx", "5xx")]
    return Traffic(sum(classes), classes[-1], counted.get(f"{_PREFIX}active", 0))


def is_proxied(pod: Mapping[str, Any]) -> bool:
    """Whether a proxy stands before the program of a pod."""
    return any(each["name"] == PROXY for each in pod["spec"].get("initContainers", []))
