"""Resources, and where an environment keeps things: read as written, told where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifest.projects import loaded, problems
from tidegate.manifest.models import MaxExtra
from tidegate.model.component import Health, HealthKind
from tidegate.model.pins import Resource, Secret

TOP = """\
organization: acme
store: state/store.db
artifacts: {secret: "env:ARTIFACTS"}
environments:
  dev: {}
  dev-two: {like: dev}
  stage: {store: "postgresql://db.acme.example/tidegate", max_extra: 4}
  prod: {like: stage, artifacts: "s3://acme-releases/shop?endpoint=https://s3.acme.example"}
  prod-eu: {like: prod, max_extra: {instances: 8, memory: 1.5G}}
resources:
  catalog-db:
    dev: {run: "postgres -D $DATA -p $PORT", url: "postgresql://127.0.0.1:${PORT}/app", data: true, grace: 20s}
    default: {url: {secret: "env:CATALOG_DB_URL"}}
  mail:
    default: {url: "smtp://mail.acme.example"}
    prod: {run: ./mail $PORT, url: "smtp://127.0.0.1:$PORT", health: {command: ./ask, interval: 2s}}
  unused: {dev: {url: x}}
"""


def test_resources_are_what_each_environment_says(tmp_path: Path) -> None:
    """Run here, a URL there; what is like an environment has what that one has; needs say which components use."""
    files = {
        "tidegate.yaml": TOP,
        "orders/service.yaml": "run: x\nneeds: [mail, worker-api, catalog-db]\n",
        "worker-api/service.yaml": "run: x\n",
    }
    project = loaded(tmp_path, files)
    orders = project.components["orders"]
    assert (orders.runtime.needs, orders.runtime.resources) == (("worker-api",), ("catalog-db", "mail"))
    database = Resource(
        "postgres -D $DATA -p $PORT", "postgresql://127.0.0.1:${PORT}/app", Health(), data=True, grace=20_000
    )
    for environment in ("dev", "dev-two"):
        shape = orders.shape(environment)
        assert shape.resources == (("catalog-db", database),)
        assert shape.env == (("MAIL_URL", "smtp://mail.acme.example"),)
    mail = Resource("./mail $PORT", "smtp://127.0.0.1:$PORT", Health(HealthKind.COMMAND, "./ask", 2000))
    assert orders.shape("prod-eu").resources == (("mail", mail),)
    assert orders.shape("stage").env == (
        ("CATALOG_DB_URL", Secret("env:CATALOG_DB_URL")),
        ("MAIL_URL", "smtp://mail.acme.example"),
    )
    assert list(project.resources) == ["catalog-db", "mail", "unused"]
    assert project.components["worker-api"].shape("dev").resources == ()


def test_places_and_limits_follow_the_environment(tmp_path: Path) -> None:
    """What an environment does not say it has from the one it is like, and then from the project."""
    project = loaded(tmp_path, {"tidegate.yaml": TOP})
    found = {name: (one.store, one.artifacts, one.max_extra) for name, one in project.environments.items()}
    common, own = Secret("env:ARTIFACTS"), "s3://acme-releases/shop?endpoint=https://s3.acme.example"
    central = "postgresql://db.acme.example/tidegate"
    assert found == {
        "dev": ("state/store.db", common, MaxExtra()),
        "dev-two": ("state/store.db", common, MaxExtra()),
        "stage": (central, common, MaxExtra(4)),
        "prod": (central, own, MaxExtra(4)),
        "prod-eu": (central, own, MaxExtra(8, 1_610_612_736)),
    }
    assert (project.store, project.artifacts) == ("state/store.db", common)


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("512M", 512 << 20), ("2G", 2 << 30), ("1T", 1 << 40), ("1048576", 1 << 20), ("0.5G", 1 << 29)],
)
def test_sizes(written: str, bytes_: int, tmp_path: Path) -> None:
    """K, M, G and T are powers of 1024; a number alone is bytes."""
    top = f"organization: a\nenvironments: {{dev: {{max_extra: {{memory: {written}}}}}}}\n"
    assert loaded(tmp_path, {"tidegate.yaml": top}).environments["dev"].max_extra == MaxExtra(None, bytes_)


@pytest.mark.parametrize(
    "place",
    ["data/store.db", "/srv/store.db", "sqlite:///store.db", "sqlite:////srv/store.db", "postgresql:///tidegate",
     "postgresql://me@db:5432/tidegate?sslmode=require"],
)  # fmt: skip
def test_stores(place: str, tmp_path: Path) -> None:
    """Paths, and the URLs of SQLite and PostgreSQL, as they are written."""
    top = f"organization: a\nstore: {place}\nenvironments: {{dev: {{}}}}\n"
    assert loaded(tmp_path, {"tidegate.yaml": top}).environments["dev"].store == place


def in_dev(text: str) -> str:
    return f"environments: {{dev: {{{text}}}}}\n"


def resource(text: str) -> str:
    return f"environments: {{dev: {{}}}}\nresources: {{db: {text}}}\n"


MISTAKES: dict[str, tuple[str, int, int, str, str]] = {
    "list": ("environments: {dev: {}}\nresources: [db]\n", 3, 12, "must be a table of keys, not a list", "catalog-db"),
    "name": (
        "environments: {dev: {}}\nresources: {My_DB: {dev: {url: x}}, db: {dev: {url: x}}}\n", 3, 13,
        "name of a resource", "a-z",
    ),
    "nothing": (resource(""), 3, 17, "must be a table of environments, not nothing", "Write db:"),
    "text": (resource("x"), 3, 17, "must be a table of environments, not 'x'", "Write db:"),
    "no environment": (resource("{url: x}"), 3, 17, "for which environment", "default:"),
    "unknown environment": (resource("{dve: {url: x}}"), 3, 18, "unknown environment 'dve'", "Did you mean dev?"),
    "empty": (resource("{}"), 3, 17, "'db' must not be empty", ""),
    "value": (resource("{dev: x}"), 3, 23, "'db.dev' must be a table of keys", "{url: …}"),
    "key": (resource("{dev: {ulr: x, url: y}}"), 3, 24, "unknown key 'ulr' in resource db.dev", "Did you mean url?"),
    "no url": (resource("{dev: {run: x}}"), 3, 23, "'url' is missing", "$PORT"),
    "no url elsewhere": (resource("{dev: {}}"), 3, 23, "'url' is missing", "run: and url:"),
    "url without port": (resource("{dev: {run: x, url: 'redis://h:1'}}"), 3, 37, "must contain $PORT", "is chosen"),
    "url of another": (resource("{dev: {run: x, url: 'redis://h:$PORTS'}}"), 3, 37, "must contain $PORT", ""),
    "url is secret": (resource("{dev: {run: x, url: {secret: 'env:A'}}}"), 3, 37, "must be a text", "without run:"),
    "port elsewhere": (resource("{dev: {url: 'redis://h:$PORT'}}"), 3, 29, "nothing runs here", "Add run:"),
    "data elsewhere": (resource("{dev: {url: x, data: true}}"), 3, 32, "'data' is for a resource that runs", "run:"),
    "password": (resource("{dev: {url: 'redis://me:hunter2@h/0'}}"), 3, 29, "a password stands in 'url'", "env:NAME"),
    "no reference": (resource("{dev: {url: {secret: hunter2}}}"), 3, 38, "no reference to a secret", "env:NAME"),
    "health": (resource("{dev: {run: x, url: $PORT, health: up}}"), 3, 52, "'health' cannot be 'up'", "/healthz"),
    "variable": (
        "environments: {dev: {env: {DB_URL: x}}}\nresources: {db: {dev: {url: x}}}\n", 2, 28, "for a it holds",
        "Remove",
    ),
    "component's name": (
        "environments: {dev: {}}\nresources: {a: {dev: {url: x}}, db: {dev: {url: x}}}\n", 3, 13, "name of a component",
        "a/service.yaml",
    ),
    "store scheme": (in_dev("store: 'postgres://h/d'"), 2, 29, "cannot begin with postgres:", "mean postgresql?"),
    "store of S3": (in_dev("store: 's3://bucket'"), 2, 29, "cannot begin with s3:", "sqlite:///FILE"),
    "store password": (in_dev("store: 'postgresql://me:hunter2@h/d'"), 2, 29, "a password stands", "{secret:"),
    "store password key": (in_dev("store: 'postgresql://h/d?password=hunter2'"), 2, 29, "a password stands", ""),
    "store database": (in_dev("store: 'postgresql://h'"), 2, 29, "names no database", ""),
    "store brackets": (in_dev("store: 'postgresql://[h/d'"), 2, 29, "it is no URL", ""),
    "store port": (in_dev("store: 'postgresql://h:99999/d'"), 2, 29, "it is no URL", ""),
    "store slashes": (in_dev("store: 'sqlite://store.db'"), 2, 29, "three slashes", ""),
    "store colon": (in_dev("store: 'sqlite:store.db'"), 2, 29, "it needs sqlite://", ""),
    "store number": (in_dev("store: 5"), 2, 29, "must be a text, not 5", ""),
    "store table": (in_dev("store: {url: x}"), 2, 29, "must be a text or a secret", ""),
    "bucket": (in_dev("artifacts: 's3://My_Bucket/x'"), 2, 33, "a bucket has", "s3://BUCKET"),
    "bucket key": (in_dev("artifacts: 's3://bucket?endpont=x'"), 2, 33, "unknown key 'endpont'", "s3://BUCKET"),
    "bucket credentials": (in_dev("artifacts: 's3://me@bucket/x'"), 2, 33, "credentials come from", ""),
    "artifacts": (in_dev("artifacts: 'https://h/x'"), 2, 33, "cannot begin with https:", "s3://BUCKET"),
    "extra": (in_dev("max_extra: 0"), 2, 33, "must be from 1", ""),
    "extra text": (in_dev("max_extra: some"), 2, 33, "must be a whole number", ""),
    "extra key": (in_dev("max_extra: {memry: 2G}"), 2, 34, "unknown key 'memry'", "memory"),
    "extra unit": (in_dev("max_extra: {memory: 2}"), 2, 42, "at least 1M, not 2 bytes", "512M"),
    "extra size": (in_dev("max_extra: {memory: 2GB}"), 2, 42, "must be a size, not '2GB'", "2G"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_problem_at_its_place_and_repeats_no_secret(case: str, tmp_path: Path) -> None:
    """A component needs the resource throughout: that makes no second problem of the first."""
    content, line, column, message, hint = MISTAKES[case]
    if "resources:" not in content:
        content += "resources: {db: {default: {url: x}}}\n"
    found = problems(
        tmp_path, {"tidegate.yaml": f"organization: acme\n{content}", "a/service.yaml": "run: x\nneeds: [db]\n"}
    )
    assert [(one.file, one.line, one.column) for one in found] == [("tidegate.yaml", line, column)], found
    assert message in found[0].message
    assert hint in found[0].hint
    assert "hunter2" not in str(found[0])


def test_a_resource_that_an_environment_lacks_is_told_at_the_need(tmp_path: Path) -> None:
    """With the environments that lack it, those that have the component, and what to add; unused ones may lack."""
    top = TOP.replace("    default: {url: {secret", "    stage: {url: {secret")
    files = {"tidegate.yaml": top, "orders/worker.yaml": "run: x\nneeds: [mail, catalog-db]\n"}
    assert loaded(tmp_path, {"tidegate.yaml": TOP + "  x: {dev: {url: y}}\n"})
    loaded(tmp_path, files)
    top = TOP.replace("    default: {url: {secret", "    prod: {url: {secret")
    found = problems(tmp_path, files | {"tidegate.yaml": top})
    assert [(one.file, one.line, one.column) for one in found] == [("orders/worker.yaml", 2, 15)]
    assert found[0].message == "orders needs the resource catalog-db, which is not in stage"
    assert "Add stage: {url: …} (or default:) to catalog-db under resources:" in found[0].hint


def test_an_unknown_need_is_looked_for_among_components_and_resources(tmp_path: Path) -> None:
    """And its variable cannot be set by the component itself."""
    files = {"tidegate.yaml": TOP, "a/service.yaml": "run: x\nneeds: [catalog_db]\n"}
    assert [one.hint for one in problems(tmp_path, files)] == ["Did you mean catalog-db?"]
    files["a/service.yaml"] = "run: x\nneeds: [mail]\nenv: {MAIL_URL: x}\n"
    (found,) = problems(tmp_path, files)
    assert (found.line, found.column, found.hint) == (3, 7, "Remove it, or take mail out of needs:.")
