"""What the JSON Schemas of manifests are put together from."""

from __future__ import annotations

from typing import Any

from tidegate.manifest import fields

Json = dict[str, Any]

NAME: Json = {"type": "string", "pattern": f"^{fields.NAME.pattern}$"}
TEXT: Json = {"type": "string", "minLength": 1}
NAMES: Json = {"type": "array", "items": NAME, "uniqueItems": True}
DURATION: Json = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)?$"}]}
SECRET: Json = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": "^(env|file|kubernetes):.+$"}},
    "required": ["secret"],
    "additionalProperties": False,
}
PLACE: Json = {"anyOf": [TEXT, SECRET]}
SIZE: Json = {"anyOf": [{"type": "integer", "minimum": 1 << 20}, {"type": "string", "pattern": "^[0-9.]+[KMGT]?$"}]}
VALUE: Json = {"anyOf": [{"type": ["string", "number", "boolean"]}, SECRET]}
VARIABLE: Json = {
    "pattern": f"^{fields.VARIABLE.pattern}$",
    "not": {"pattern": "^(PORT|DATA|TIDEGATE_.*)$"},
}
LABEL: Json = {"type": "string", "pattern": f"^{fields.LABEL.pattern}$"}
PINNED: Json = {"type": "string", "pattern": "^.+@sha256:[0-9a-f]{64}$"}
AN_IMAGE = f"debian@sha256:{'0123456789abcdef' * 4}"


def key(schema: Json, description: str, example: Any) -> Json:
    """One key: what it is, with an example that the reader accepts."""
    return {**schema, "description": description, "examples": [example]}


def table(keys: Json) -> Json:
    """These keys and no others."""
    return {"type": "object", "properties": keys, "additionalProperties": False}


def named(inner: Json, *, empty: bool = True) -> Json:
    """Tables by name; `empty`: a name may stand alone."""
    return {
        "type": "object",
        "propertyNames": {"pattern": NAME["pattern"]},
        "additionalProperties": {"anyOf": [inner, {"type": "null"}]} if empty else inner,
    }


def variables(inner: Json) -> Json:
    """Environment variables by name."""
    return {"type": "object", "propertyNames": VARIABLE, "additionalProperties": inner}


def either(inner: Json) -> Json:
    """One value, or one for each environment and `default`."""
    return {"anyOf": [inner, {"type": "object", "additionalProperties": inner, "minProperties": 1}]}


def whole(low: int, high: int) -> Json:
    """A whole number from `low` to `high`."""
    return {"type": "integer", "minimum": low, "maximum": high}
