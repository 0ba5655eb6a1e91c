"""JSON Schemas (draft 2020-12) of the manifests, for editors. Every key has an example that the reader accepts."""

from __future__ import annotations

from typing import Any

from tidegate.manifest.environments import ISOLATION, TARGETS
from tidegate.manifest.fields import NAME, VARIABLE

Json = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAME: Json = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_TEXT: Json = {"type": "string", "minLength": 1}
_NAMES: Json = {"type": "array", "items": _NAME, "uniqueItems": True}
_DURATION: Json = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)?$"}]}
_SECRET: Json = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": "^(env|file):.+$"}},
    "required": ["secret"],
    "additionalProperties": False,
}
_VALUE: Json = {"anyOf": [{"type": ["string", "number", "boolean"]}, _SECRET]}
_VARIABLE: Json = {"pattern": f"^{VARIABLE.pattern}$", "not": {"pattern": "^(PORT|TIDEGATE_.*)$"}}


def tidegate_schema() -> Json:
    """The schema of `tidegate.yaml`."""
    environment = _table(
        {
            "after": _key({"anyOf": [_NAME, _NAMES]}, "The environments that releases come from.", "dev"),
            "like": _key(_NAME, "Take everything that is not said here from this environment.", "dev"),
            "components": _key(_NAMES, "Only these components are in it (and those of `teams`).", ["backend"]),
            "teams": _key(_NAMES, "Only the components of these teams are in it (and `components`).", ["web"]),
            "isolation": _key({"enum": list(ISOLATION)}, "What it shares with no other environment.", "logical"),
            "observe": _key(_DURATION, "How long to watch after the switch, in whole seconds. Default 5s.", "5s"),
            "max_errors": _key(
                {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 100},
                        {"type": "string", "pattern": "^[0-9.]+ ?%?$"},
                    ]
                },
                "The percentage of answers 5xx, at any entry or edge, above which a change is undone. Default 1%.",
                "0.5%",
            ),
            "target": _key(
                {"enum": list(TARGETS)}, "Where it lives. Default local: processes on this machine.", "local"
            ),
            "env": _key(_variables(_VALUE), "Environment variables of every component here.", {"LOG_LEVEL": "info"}),
        }
    )
    team = _table({"members": _key({"type": "array", "items": _TEXT}, "Who is in it.", ["ana@acme.example"])})
    builds = _table(
        {
            "pass": _key(
                {"type": "array", "items": {"type": "string", "pattern": f"^{VARIABLE.pattern}$"}},
                "Variables of the caller that builds get, besides PATH, HOME and LANG.",
                ["HTTPS_PROXY"],
            )
        }
    )
    return _document(
        "tidegate.yaml",
        {
            "organization": _key(_NAME | {"pattern": ".+"}, "What the whole is called.", "acme"),
            "teams": _key(_named(team), "Who owns components.", {"web": {"members": ["ana@acme.example"]}}),
            "environments": _key(_named(environment) | {"minProperties": 1}, "Where components run.", {"dev": {}}),
            "builds": _key(builds, "What all builds share.", {"pass": ["HTTPS_PROXY"]}),
        },
        ["organization", "environments"],
    )


def service_schema() -> Json:
    """The schema of `service.yaml`."""
    health = _table(
        {
            "http": _key(
                {"type": "string", "pattern": "^/"}, "A path that answers 2xx or 3xx when healthy.", "/healthz"
            ),
            "tcp": _key({"const": True}, "Healthy when it accepts a connection.", True),
            "command": _key(_TEXT, "Healthy when this command ends with 0.", "./check"),
            "interval": _key(_DURATION, "Time between two checks. Default 1s.", "1s"),
            "timeout": _key(_DURATION, "How long one check may take. Default 2s.", "2s"),
            "start_timeout": _key(_DURATION, "How long an instance may take to become healthy. Default 60s.", "60s"),
            "failures": _key(_whole(1, 1000), "Checks that fail in a row until it is unhealthy. Default 3.", 3),
        }
    )
    health_forms = {"anyOf": [{"type": "string", "pattern": "^(/.*|tcp)$"}, health]}
    return _document(
        "service.yaml",
        {
            "name": _key(_NAME, "Default: the name of the folder.", "frontend"),
            "team": _key(_NAME, "The team that owns it. Default: the only one.", "web"),
            "build": _key(_TEXT, "The command that builds it, once per release.", "uv sync --frozen"),
            "run": _key(_TEXT, "The command that starts it; it listens on $PORT.", "python -m app"),
            "replicas": _key(_either(_whole(1, 1000)), "How many instances. Default 1.", {"default": 1, "dev": 2}),
            "health": _key(health_forms, "How to ask whether it is healthy. Default: tcp.", "/healthz"),
            "verify": _key(_TEXT, "A command that looks at new instances before users do.", "python verify.py"),
            "needs": _key(_NAMES, "Components it calls, each at the address in <NAME>_URL.", ["backend"]),
            "expose": _key(_either({"type": "boolean"}), "Whether people get an address of it. Default false.", True),
            "env": _key(
                _variables({"anyOf": [*_VALUE["anyOf"], {"type": "object", "additionalProperties": _VALUE}]}),
                "Environment variables: a value, a secret, or one of them per environment with `default`.",
                {"LOG_LEVEL": {"default": "info", "dev": "debug"}},
            ),
            "settings": _key(_TEXT, "The folder with a JSON file for each environment, or default.json.", "settings/"),
            "port": _key(_whole(1, 65_535), "The port, if the program can listen on one only.", 8080),
            "sources": _key(
                {"type": "array", "items": _TEXT, "uniqueItems": True},
                "Folders and files beside its own folder that it is made of.",
                ["../shared"],
            ),
            "drain": _key(_DURATION, "Time for requests in flight after it lost its traffic. Default 10s.", "10s"),
            "grace": _key(_DURATION, "Time between SIGTERM and SIGKILL. Default 10s.", "10s"),
        },
        ["run"],
    )


def _document(name: str, keys: Json, required: list[str]) -> Json:
    return {"$schema": DIALECT, "title": name, **_table(keys), "required": required}


def _key(schema: Json, description: str, example: Any) -> Json:
    return {**schema, "description": description, "examples": [example]}


def _table(keys: Json) -> Json:
    return {"type": "object", "properties": keys, "additionalProperties": False}


def _named(inner: Json) -> Json:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME.pattern}$"},
        "additionalProperties": {"anyOf": [inner, {"type": "null"}]},
    }


def _variables(inner: Json) -> Json:
    return {"type": "object", "propertyNames": _VARIABLE, "additionalProperties": inner}


def _either(inner: Json) -> Json:
    return {"anyOf": [inner, {"type": "object", "additionalProperties": inner, "minProperties": 1}]}


def _whole(low: int, high: int) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high}
