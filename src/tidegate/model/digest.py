"""Names by content: SHA-256 of canonical JSON with a type prefix."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

PREFIX = "sha256:"
_AS_IT_IS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no white space, UTF-8. No floats: they print differently elsewhere.

    Raises TypeError for anything that JSON does not know, UnicodeEncodeError for text that is none.
    """
    try:
        return orjson.dumps(value, option=_AS_IT_IS)
    except TypeError:  # numbers of more than 64 bits, and whatever neither of the two knows
        return _ENCODER.encode(value).encode()


def digest(kind: str, value: Any) -> str:
    """`sha256:<64 hex>` of `kind` and the canonical form of `value`; two kinds never share a digest."""
    return digest_bytes(kind, canonical(value))


def digest_bytes(kind: str, content: bytes) -> str:
    """`sha256:<64 hex>` of `kind`, a zero byte and `content`."""
    return PREFIX + hashlib.sha256(kind.encode() + b"\0" + content).hexdigest()


def short(name: str) -> str:
    """The first 10 hex characters of a digest, for people."""
    return name.removeprefix(PREFIX)[:10]
