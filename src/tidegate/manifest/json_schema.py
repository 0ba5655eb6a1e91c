"""JSON Schemas (draft 2020-12) of the manifests, for editors. Every key has an example that the reader accepts."""

from __future__ import annotations

from typing import Any

from tidegate.manifest.environments import ISOLATION, MOST_INSTANCES
from tidegate.manifest.fields import NAME, VARIABLE
from tidegate.manifest.target import TARGETS
from tidegate.model.component import Kind

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
_PLACE: Json = {"anyOf": [_TEXT, _SECRET]}
_SIZE: Json = {"anyOf": [{"type": "integer", "minimum": 1 << 20}, {"type": "string", "pattern": "^[0-9.]+[KMGT]?$"}]}
_VALUE: Json = {"anyOf": [{"type": ["string", "number", "boolean"]}, _SECRET]}
_VARIABLE: Json = {"pattern": f"^{VARIABLE.pattern}$", "not": {"pattern": "^(PORT|DATA|TIDEGATE_.*)$"}}


_STORE = "Where revisions are kept: postgresql://…, sqlite:///…, a path or a secret. Default: the folder .tidegate."
_ARTIFACTS = "Where the bytes of releases are kept: s3://…, a path or a secret. Default: the folder .tidegate."


def tidegate_schema() -> Json:
    """The schema of `tidegate.yaml`."""
    max_extra = _table(
        {
            "instances": _key(_whole(1, MOST_INSTANCES), "How many instances.", 4),
            "memory": _key(_SIZE, "How many bytes of memory; K, M, G and T are powers of 1024.", "2G"),
        }
    )
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
            "max_extra": _key(
                {"anyOf": [_whole(1, MOST_INSTANCES), max_extra]},
                "How much may run beside what runs already while it changes: instances, or a table. Default: no limit.",
                {"instances": 4, "memory": "2G"},
            ),
            "store": _key(_PLACE, _STORE, "sqlite:///stage.db"),
            "artifacts": _key(_PLACE, _ARTIFACTS, "s3://acme-releases/shop?endpoint=https://s3.acme.example"),
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
            "resources": _key(
                _named({"type": "object", "additionalProperties": _resource(), "minProperties": 1}, empty=False),
                "What environments give to components and nobody releases: per environment, and `default`.",
                {"cache": {"dev": {"run": "redis-server --port $PORT", "url": "redis://127.0.0.1:$PORT"}}},
            ),
            "store": _key(_PLACE, _STORE, {"secret": "env:TIDEGATE_STORE_URL"}),
            "artifacts": _key(_PLACE, _ARTIFACTS, "releases/"),
            "builds": _key(builds, "What all builds share.", {"pass": ["HTTPS_PROXY"]}),
        },
        ["organization", "environments"],
    )


def service_schema() -> Json:
    """The schema of `service.yaml`."""
    return _component(
        Kind.SERVICE,
        "The command that starts it; it listens on $PORT.",
        _INSTANCES
        | {
            "health": _key(_health(address=True), "How to ask whether it is healthy. Default: tcp.", "/healthz"),
            "verify": _key(_TEXT, "A command that looks at new instances before users do.", "python verify.py"),
            "expose": _key(_either({"type": "boolean"}), "Whether people get an address of it. Default false.", True),
            "port": _key(
                _whole(1, 65_535), "The port, if the program can listen on one only; then it never overlaps.", 8080
            ),
            "drain": _key(_DURATION, "Time for requests in flight after it lost its traffic. Default 10s.", "10s"),
            "overlap": _key(
                {"type": "boolean"}, "Whether new instances may run beside the old ones. Default true.", False
            ),
        },
    )


def worker_schema() -> Json:
    """The schema of `worker.yaml`."""
    health = _key(
        _health(address=False), "How to ask whether it is healthy. Default: whether it runs.", {"command": "./check"}
    )
    return _component(Kind.WORKER, "The command that starts it.", _INSTANCES | {"health": health})


def task_schema() -> Json:
    """The schema of `task.yaml`."""
    return _component(
        Kind.TASK,
        "The command, run to its end by `tidegate run`.",
        {
            "retry": _key({"type": "boolean"}, "Whether it may run again after it was ended in the middle.", True),
            "timeout": _key(_DURATION, "How long it may take. Default 10m.", "10m"),
        },
    )


def _component(kind: Kind, run: str, more: Json) -> Json:
    keys = {
        "name": _key(_NAME, "Default: the name of the folder.", "frontend"),
        "team": _key(_NAME, "The team that owns it. Default: the only one.", "web"),
        "build": _key(_TEXT, "The command that builds it, once per release.", "uv sync --frozen"),
        "run": _key(_TEXT, run, "python -m app"),
        "needs": _key(_NAMES, "Services and resources it uses, each at the address in <NAME>_URL.", ["backend"]),
        "env": _key(
            _variables({"anyOf": [*_VALUE["anyOf"], {"type": "object", "additionalProperties": _VALUE}]}),
            "Environment variables: a value, a secret, or one of them per environment with `default`.",
            {"LOG_LEVEL": {"default": "info", "dev": "debug"}},
        ),
        "settings": _key(_TEXT, "The folder with a JSON file for each environment, or default.json.", "settings/"),
        "sources": _key(
            {"type": "array", "items": _TEXT, "uniqueItems": True},
            "Folders and files beside its own folder that it is made of.",
            ["../shared"],
        ),
    }
    return _document(f"{kind}.yaml", keys | more, ["run"])


def _health(*, address: bool) -> Json:
    keys = {
        "http": _key({"type": "string", "pattern": "^/"}, "A path that answers 2xx or 3xx when healthy.", "/healthz"),
        "tcp": _key({"const": True}, "Healthy when it accepts a connection.", True),
        "command": _key(_TEXT, "Healthy when this command ends with 0.", "./check"),
        "interval": _key(_DURATION, "Time between two checks. Default 1s.", "1s"),
        "timeout": _key(_DURATION, "How long one check may take. Default 2s.", "2s"),
        "start_timeout": _key(_DURATION, "How long an instance may take to become healthy. Default 60s.", "60s"),
        "failures": _key(_whole(1, 1000), "Checks that fail in a row until it is unhealthy. Default 3.", 3),
    }
    if not address:
        return _table({key: schema for key, schema in keys.items() if key not in {"http", "tcp"}})
    return {"anyOf": [{"type": "string", "pattern": "^(/.*|tcp)$"}, _table(keys)]}


def _hook() -> Json:
    keys = {
        "run": _key(_TEXT, "The command.", "python -m app.migrate"),
        "undo": _key(_TEXT, "The command that takes back what it did.", "python -m app.migrate --down"),
        "retry": _key({"type": "boolean"}, "Whether it may run again after it was ended in the middle.", True),
        "timeout": _key(_DURATION, "How long it may take. Default 10m.", "10m"),
    }
    return {"anyOf": [_TEXT, _table(keys) | {"required": ["run"]}]}


def _resource() -> Json:
    return _table(
        {
            "run": _key(
                _TEXT, "The command that runs it here; without it, it lies elsewhere.", "redis-server --port $PORT"
            ),
            "url": _key(
                {"anyOf": [_TEXT, _SECRET]},
                "What components get in <NAME>_URL; with $PORT in it if it runs here.",
                "redis://127.0.0.1:$PORT",
            ),
            "health": _key(_health(address=True), "How to ask whether it is healthy. Default: tcp.", "tcp"),
            "data": _key(
                {"type": "boolean"}, "Whether it has the folder $DATA, which outlives it. Default false.", True
            ),
            "grace": _key(_DURATION, "Time between SIGTERM and SIGKILL. Default 10s.", "10s"),
        }
    )


def _document(name: str, keys: Json, required: list[str]) -> Json:
    return {"$schema": DIALECT, "title": name, **_table(keys), "required": required}


def _key(schema: Json, description: str, example: Any) -> Json:
    return {**schema, "description": description, "examples": [example]}


def _table(keys: Json) -> Json:
    return {"type": "object", "properties": keys, "additionalProperties": False}


def _named(inner: Json, *, empty: bool = True) -> Json:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME.pattern}$"},
        "additionalProperties": {"anyOf": [inner, {"type": "null"}]} if empty else inner,
    }


def _variables(inner: Json) -> Json:
    return {"type": "object", "propertyNames": _VARIABLE, "additionalProperties": inner}


def _either(inner: Json) -> Json:
    return {"anyOf": [inner, {"type": "object", "additionalProperties": inner, "minProperties": 1}]}


def _whole(low: int, high: int) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high}


_INSTANCES: Json = {
    "replicas": _key(_either(_whole(1, 1000)), "How many instances. Default 1.", {"default": 1, "dev": 2}),
    "grace": _key(_DURATION, "Time between SIGTERM and SIGKILL. Default 10s.", "10s"),
    "before": _key(
        _hook(),
        "A command that runs once, before new instances start; without `undo` it cannot be undone.",
        {"run": "python -m app.migrate", "undo": "python -m app.migrate --down", "retry": True, "timeout": "10m"},
    ),
    "after": _key(_hook(), "A command that runs once, when the old instances are gone.", "python -m app.contract"),
    "data": _key(
        {"type": "boolean"}, "Whether it has the folder $DATA, which belongs to the environment. Default false.", True
    ),
}
