"""Whether objects, as `patches:` of a manifest made them, are what the API server knows: asked before anything runs.

The API server would refuse them as well, but only at the moment when it gets them, in the middle of a change.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.drivers.kubernetes.client import Api

Json = dict[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_NAMES = {"object": "a mapping", "array": "a list", "string": "a text", "boolean": "true or false"}
_NUMBERS = {"integer": "a whole number", "number": "a number"}


async def check(api: Api, objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with these objects, one mistake per line, by their kind, name and path; [] if nothing is.

    Asks for one document per group of the API that they belong to. Raises `TargetError`.
    """
    versions = sorted({str(each["apiVersion"]) for each in objects})
    documents = await asyncio.gather(*(api.raw("GET", _path(version)) for version in versions))
    schemas = dict(zip(versions, documents, strict=True))
    return [mistake for each in objects for mistake in mistakes(each, schemas[each["apiVersion"]])]


def mistakes(obj: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """What is wrong with an object by the OpenAPI document (version 3) of its group."""
    schemas = document["components"]["schemas"]
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    wanted = {"group": group, "version": version, "kind": obj["kind"]}
    what = f"{obj['kind']} {obj['metadata']['name']}"
    for schema in schemas.values():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return [f"{what}: {each}" for each in _wrong(obj, schema, schemas, "")]
    return [f"{what}: the API server knows no {obj['kind']} of {obj['apiVersion']}"]


def _path(version: str) -> str:
    return f"/openapi/v3/apis/{version}" if "/" in version else f"/openapi/v3/api/{version}"


def _wrong(value: Any, schema: Json, schemas: Mapping[str, Json], path: str) -> list[str]:
    schema = _resolved(schema, schemas)
    if value is None or schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    kinds = [each["type"] for each in schema.get("oneOf", ()) if "type" in each] or [schema.get("type", "")]
    if kinds != [""] and not any(_is(value, kind) for kind in kinds):
        wanted = " or ".join((_NAMES | _NUMBERS)[kind] for kind in kinds)
        return [f"{path or 'it'} has to be {wanted}, and is {value!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path} is {value!r}{_meant(str(value), [str(each) for each in schema['enum']])}"]
    if isinstance(value, list):
        item = schema.get("items", {})
        return [each for place, part in enumerate(value) for each in _wrong(part, item, schemas, f"{path}[{place}]")]
    return _wrong_fields(value, schema, schemas, path) if isinstance(value, dict) else []


def _wrong_fields(value: Json, schema: Json, schemas: Mapping[str, Json], path: str) -> list[str]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    if not fields and others is None:  # a mapping of which nothing is said
        return []
    found = [f"{_under(path, name)} is missing" for name in schema.get("required", ()) if value.get(name) is None]
    for name, part in value.items():
        if name in fields:
            found += _wrong(part, fields[name], schemas, _under(path, name))
        elif others is None:
            found.append(f"there is no field {_under(path, name)}{_meant(name, list(fields))}")
        elif isinstance(others, dict):
            found += _wrong(part, others, schemas, _under(path, name))
    return found


def _resolved(schema: Json, schemas: Mapping[str, Json]) -> Json:
    """What a schema says with those that it refers to."""
    found = dict(schema)
    for part in (*found.pop("allOf", ()), *([{"$ref": found["$ref"]}] if "$ref" in found else ())):
        name = part.get("$ref", "").removeprefix("#/components/schemas/")
        found = _resolved(schemas.get(name, {}) if name else part, schemas) | found
    return found


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.6) or [each for each in known if each.lower() == name.lower()]
    return f"; {close[0]} was probably meant" if close else f"; there are {', '.join(sorted(known))}"
