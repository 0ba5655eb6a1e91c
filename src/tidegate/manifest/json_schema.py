"""JSON Schemas (draft 2020-12) of the manifests, for editors. Every key has an example that the reader accepts."""

from __future__ import annotations

from tidegate.manifest.environments import ISOLATION, MOST_INSTANCES
from tidegate.manifest.schema_kubernetes import aliases, image, images, kubernetes, target
from tidegate.manifest.schema_parts import (
    AN_IMAGE,
    DURATION,
    NAME,
    NAMES,
    PINNED,
    PLACE,
    SECRET,
    SIZE,
    TEXT,
    VALUE,
    VARIABLE,
    Json,
    either,
    key,
    named,
    table,
    variables,
    whole,
)
from tidegate.model.component import Kind

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STORE = "Where revisions are kept: postgresql://…, sqlite:///…, a path or a secret. Default: the folder .tidegate."
_ARTIFACTS = "Where the bytes of releases are kept: s3://…, a path or a secret. Default: the folder .tidegate."


def tidegate_schema() -> Json:
    """The schema of `tidegate.yaml`."""
    max_extra = table(
        {
            "instances": key(whole(1, MOST_INSTANCES), "How many instances.", 4),
            "memory": key(SIZE, "How many bytes of memory; K, M, G and T are powers of 1024.", "2G"),
        }
    )
    environment = table(
        {
            "after": key({"anyOf": [NAME, NAMES]}, "The environments that releases come from.", "dev"),
            "like": key(NAME, "Take everything that is not said here from this environment.", "dev"),
            "components": key(NAMES, "Only these components are in it (and those of `teams`).", ["backend"]),
            "teams": key(NAMES, "Only the components of these teams are in it (and `components`).", ["web"]),
            "isolation": key({"enum": list(ISOLATION)}, "What it shares with no other environment.", "logical"),
            "observe": key(DURATION, "How long to watch after the switch, in whole seconds. Default 5s.", "5s"),
            "max_errors": key(
                {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 100},
                        {"type": "string", "pattern": "^[0-9.]+ ?%?$"},
                    ]
                },
                "The percentage of answers 5xx, at any entry or edge, above which a change is undone. Default 1%.",
                "0.5%",
            ),
            "target": key(target(), "Where it lives. Default local: processes on this machine.", "kubernetes"),
            "env": key(variables(VALUE), "Environment variables of every component here.", {"LOG_LEVEL": "info"}),
            "max_extra": key(
                {"anyOf": [whole(1, MOST_INSTANCES), max_extra]},
                "How much may run beside what runs already while it changes: instances, or a table. Default: no limit.",
                {"instances": 4, "memory": "2G"},
            ),
            "store": key(PLACE, _STORE, "sqlite:///stage.db"),
            "artifacts": key(PLACE, _ARTIFACTS, "s3://acme-releases/shop?endpoint=https://s3.acme.example"),
        }
    )
    team = table({"members": key({"type": "array", "items": TEXT}, "Who is in it.", ["ana@acme.example"])})
    builds = table(
        {
            "pass": key(
                {"type": "array", "items": {"type": "string", "pattern": VARIABLE["pattern"]}},
                "Variables of the caller that builds get, besides PATH, HOME and LANG.",
                ["HTTPS_PROXY"],
            )
        }
    )
    return _document(
        "tidegate.yaml",
        {
            "organization": key(NAME | {"pattern": ".+"}, "What the whole is called.", "acme"),
            "teams": key(named(team), "Who owns components.", {"web": {"members": ["ana@acme.example"]}}),
            "environments": key(named(environment) | {"minProperties": 1}, "Where components run.", {"dev": {}}),
            "resources": key(
                named({"type": "object", "additionalProperties": _resource(), "minProperties": 1}, empty=False),
                "What environments give to components and nobody releases: per environment, and `default`.",
                {"cache": {"dev": {"run": "redis-server --port $PORT", "url": "redis://127.0.0.1:$PORT"}}},
            ),
            "store": key(PLACE, _STORE, {"secret": "env:TIDEGATE_STORE_URL"}),
            "artifacts": key(PLACE, _ARTIFACTS, "releases/"),
            "builds": key(builds, "What all builds share.", {"pass": ["HTTPS_PROXY"]}),
            "images": key(images(), "How releases become images where they need to be.", {"base": AN_IMAGE}),
        },
        {"required": ["organization", "environments"]},
    )


def service_schema() -> Json:
    """The schema of `service.yaml`."""
    return _component(
        Kind.SERVICE,
        "The command that starts it; it listens on $PORT.",
        _INSTANCES
        | {
            "health": key(_health(address=True), "How to ask whether it is healthy. Default: tcp.", "/healthz"),
            "verify": key(TEXT, "A command that looks at new instances before users do.", "python verify.py"),
            "expose": key(either({"type": "boolean"}), "Whether people get an address of it. Default false.", True),
            "port": key(
                whole(1, 65_535), "The port, if the program can listen on one only; then it never overlaps.", 8080
            ),
            "drain": key(DURATION, "Time for requests in flight after it lost its traffic. Default 10s.", "10s"),
            "overlap": key(
                {"type": "boolean"}, "Whether new instances may run beside the old ones. Default true.", False
            ),
            "aliases": key(
                aliases(), "Other names under which it is reached inside a cluster.", [{"name": "shop", "port": 8080}]
            ),
        },
    )


def worker_schema() -> Json:
    """The schema of `worker.yaml`."""
    health = key(
        _health(address=False), "How to ask whether it is healthy. Default: whether it runs.", {"command": "./check"}
    )
    return _component(Kind.WORKER, "The command that starts it.", _INSTANCES | {"health": health})


def task_schema() -> Json:
    """The schema of `task.yaml`."""
    return _component(
        Kind.TASK,
        "The command, run to its end by `tidegate run`.",
        {
            "retry": key({"type": "boolean"}, "Whether it may run again after it was ended in the middle.", True),
            "timeout": key(DURATION, "How long it may take. Default 10m.", "10m"),
        },
    )


def _component(kind: Kind, run: str, more: Json) -> Json:
    keys = {
        "name": key(NAME, "Default: the name of the folder.", "frontend"),
        "team": key(NAME, "The team that owns it. Default: the only one.", "web"),
        "build": key(TEXT, "The command that builds it, once per release.", "uv sync --frozen"),
        "run": key(TEXT, run, "python -m app"),
        "needs": key(NAMES, "Services and resources it uses, each at the address in <NAME>_URL.", ["backend"]),
        "env": key(
            variables({"anyOf": [*VALUE["anyOf"], {"type": "object", "additionalProperties": VALUE}]}),
            "Environment variables: a value, a secret, or one of them per environment with `default`.",
            {"LOG_LEVEL": {"default": "info", "dev": "debug"}},
        ),
        "settings": key(TEXT, "The folder with a JSON file for each environment, or default.json.", "settings/"),
        "sources": key(
            {"type": "array", "items": TEXT, "uniqueItems": True},
            "Folders and files beside its own folder that it is made of.",
            ["../shared"],
        ),
        "image": key(image(), "How it becomes an image; one that is ready runs as it is.", {"base": AN_IMAGE}),
        "kubernetes": key(
            kubernetes(kind),
            "What holds in a cluster: one table, or one for each environment and `default`.",
            {"resources": {"requests": {"cpu": "250m"}}},
        ),
    }
    return _document(f"{kind}.yaml", keys | more, {"anyOf": [{"required": ["run"]}, {"required": ["image"]}]})


def _health(*, address: bool) -> Json:
    keys = {
        "http": key({"type": "string", "pattern": "^/"}, "A path that answers 2xx or 3xx when healthy.", "/healthz"),
        "tcp": key({"const": True}, "Healthy when it accepts a connection.", True),
        "command": key(TEXT, "Healthy when this command ends with 0.", "./check"),
        "interval": key(DURATION, "Time between two checks. Default 1s.", "1s"),
        "timeout": key(DURATION, "How long one check may take. Default 2s.", "2s"),
        "start_timeout": key(DURATION, "How long an instance may take to become healthy. Default 60s.", "60s"),
        "failures": key(whole(1, 1000), "Checks that fail in a row until it is unhealthy. Default 3.", 3),
    }
    if not address:
        return table({name: schema for name, schema in keys.items() if name not in {"http", "tcp"}})
    return {"anyOf": [{"type": "string", "pattern": "^(/.*|tcp)$"}, table(keys)]}


def _hook() -> Json:
    keys = {
        "run": key(TEXT, "The command.", "python -m app.migrate"),
        "undo": key(TEXT, "The command that takes back what it did.", "python -m app.migrate --down"),
        "retry": key({"type": "boolean"}, "Whether it may run again after it was ended in the middle.", True),
        "timeout": key(DURATION, "How long it may take. Default 10m.", "10m"),
    }
    return {"anyOf": [TEXT, table(keys) | {"required": ["run"]}]}


def _resource() -> Json:
    return table(
        {
            "run": key(
                TEXT, "The command that runs it here; without it, it lies elsewhere.", "redis-server --port $PORT"
            ),
            "url": key(
                {"anyOf": [TEXT, SECRET]},
                "What components get in <NAME>_URL; with $PORT, and $HOST in a cluster, if it runs here.",
                "redis://127.0.0.1:$PORT",
            ),
            "health": key(_health(address=True), "How to ask whether it is healthy. Default: tcp.", "tcp"),
            "data": key(
                {"type": "boolean"}, "Whether it has the folder $DATA, which outlives it. Default false.", True
            ),
            "grace": key(DURATION, "Time between SIGTERM and SIGKILL. Default 10s.", "10s"),
            "image": key(PINNED, "The image that it runs in, where it runs in a cluster.", AN_IMAGE),
        }
    )


def _document(name: str, keys: Json, required: Json) -> Json:
    return {"$schema": DIALECT, "title": name, **table(keys), **required}


_INSTANCES: Json = {
    "replicas": key(either(whole(1, 1000)), "How many instances. Default 1.", {"default": 1, "dev": 2}),
    "grace": key(DURATION, "Time between SIGTERM and SIGKILL. Default 10s.", "10s"),
    "before": key(
        _hook(),
        "A command that runs once, before new instances start; without `undo` it cannot be undone.",
        {"run": "python -m app.migrate", "undo": "python -m app.migrate --down", "retry": True, "timeout": "10m"},
    ),
    "after": key(_hook(), "A command that runs once, when the old instances are gone.", "python -m app.contract"),
    "data": key(
        {"type": "boolean"}, "Whether it has the folder $DATA, which belongs to the environment. Default false.", True
    ),
}
