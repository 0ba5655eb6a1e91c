"""Names by content: SHA-256 of canonical JSON with a type prefix."""

from __future__ import annotations

import hashlib
import json
import json.encoder
from collections.abc import Callable
from typing import Any

PREFIX = "sha256:"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no white space, UTF-8. No floats: they print differently elsewhere.

    Raises TypeError for anything that JSON does not know.
    """
    return _encode(value).encode()


def _encoder() -> Callable[[Any], str]:
    """`JSONEncoder.encode` sets itself up anew at every call, which costs more than encoding a pin does, and
    planning a fleet names tens of thousands of them. Where the C encoder is there, it is set up once."""
    make = getattr(json.encoder, "c_make_encoder", None)  # of CPython, and not in the stubs
    text = getattr(json.encoder, "c_encode_basestring", None)
    if make is None or text is None:
        return _ENCODER.encode
    once = make(None, _ENCODER.default, text, None, ":", ",", True, False, False)
    return lambda value: "".join(once(value, 0))


_encode = _encoder()


def digest(kind: str, value: Any) -> str:
    """`sha256:<64 hex>` of `kind` and the canonical form of `value`; two kinds never share a digest."""
    return digest_bytes(kind, canonical(value))


def digest_bytes(kind: str, content: bytes) -> str:
    """`sha256:<64 hex>` of `kind`, a zero byte and `content`."""
    return PREFIX + hashlib.sha256(kind.encode() + b"\0" + content).hexdigest()


def short(name: str) -> str:
    """The first 10 hex characters of a digest, for people."""
    return name.removeprefix(PREFIX)[:10]
