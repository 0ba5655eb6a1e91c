"""What correct manifests mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegate.errors import ManifestError
from tidegate.manifest import Project, load
from tidegate.manifest.cluster import AUTOSCALE_KEYS, EXPOSE_KEYS
from tidegate.manifest.cluster import KEYS as CLUSTER_KEYS
from tidegate.manifest.component import HOOK_KEYS, KEYS
from tidegate.manifest.environments import KEYS as ENVIRONMENT_KEYS
from tidegate.manifest.environments import MAX_EXTRA_KEYS
from tidegate.manifest.health import KEYS as HEALTH_KEYS
from tidegate.manifest.image import IMAGES_KEYS
from tidegate.manifest.image import KEYS as IMAGE_KEYS
from tidegate.manifest.json_schema import service_schema, task_schema, tidegate_schema, worker_schema
from tidegate.manifest.models import ComponentSpec
from tidegate.manifest.organization import BUILDS_KEYS, TEAM_KEYS
from tidegate.manifest.organization import KEYS as TIDEGATE_KEYS
from tidegate.manifest.resources import KEYS as RESOURCE_KEYS
from tidegate.manifest.target import KEYS as TARGET_KEYS
from tidegate.model.component import Health, HealthKind, Kind
from tidegate.model.pins import Secret

TWELVE = """\
organization: acme
teams:
  web:     {members: [ana@acme.example]}
  catalog: {members: [bo@acme.example]}
  search:  {members: [cy@acme.example]}
  pay:     {members: [di@acme.example]}
environments:
  dev:         {observe: 2s, env: {LOG_LEVEL: debug}}
  dev-web:     {like: dev, teams: [web, catalog, search]}
  dev-search:  {like: dev, teams: [search], components: [backend]}
  dev-pay:     {like: dev, components: [payments]}
  test:        {after: dev}
  load:        {like: test, observe: 10m, max_errors: 0.1%}
  stage:       {after: test, observe: 30s}
  stage-eu:    {like: stage}
  prod:
    after: [stage, load]
    isolation: logical
    observe: 5m
    max_errors: 0.5%
    env: {LOG_LEVEL: warning, REGION: us, TOKEN: {secret: "env:PROD_TOKEN"}}
  prod-eu:     {like: prod, after: stage-eu, env: {REGION: eu}}
  prod-asia:   {like: prod-eu, env: {REGION: asia}}
  prod-pci:    {like: prod, components: [payments]}
"""
COMPONENTS = {
    "services/frontend": """\
team: web
run: node server.js
replicas: {default: 1, prod: 3, prod-asia: 2}
expose: true
needs: [search, backend]
health: {http: /healthz, interval: 500ms, timeout: 1, start_timeout: 2m, failures: 5}
env:
  GREETING: {default: hello, prod-eu: bonjour}
  LOG_LEVEL: {dev: trace}
  RETRIES: 3
  FAST: true
""",
    "services/backend": "team: catalog\nrun: ./backend\nbuild: make\ndrain: 500ms\ngrace: 1m\nsources: [../../libs]\n",
    "services/search-engine": "name: search\nteam: search\nrun: ./search\nhealth: tcp\nneeds: [backend]\n",
    "services/payments": "team: pay\nrun: ./pay\nhealth: {command: ./check}\nverify: ./look\n",
}


def checkout(root: Path) -> Path:
    (root / "tidegate.yaml").write_text(TWELVE)
    (root / "libs").mkdir(exist_ok=True)
    for folder, text in COMPONENTS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "service.yaml").write_text(text)
    return root


def names(project: Project, environment: str) -> list[str]:
    return [component.name for component in project.present(environment)]


def variables(component: ComponentSpec, environment: str) -> dict[str, object]:
    return dict(component.shape(environment).env)


def test_twelve_environments_take_less_than_forty_lines(tmp_path: Path) -> None:
    """`like` and the selectors describe twelve environments shortly, and mean what they say."""
    assert len(TWELVE.splitlines()) < 40
    project = load(checkout(tmp_path))
    assert len(project.environments) == 12
    everybody = ["backend", "frontend", "payments", "search"]
    assert names(project, "dev") == everybody
    assert names(project, "dev-search") == ["backend", "search"]
    assert names(project, "dev-pay") == names(project, "prod-pci") == ["payments"]
    assert names(project, "prod-asia") == everybody
    asia = project.environments["prod-asia"]
    assert (asia.after, asia.isolation, asia.observe, asia.max_errors) == (("stage-eu",), "logical", 300, 50)
    assert project.environments["load"].after == ("dev",)
    assert project.environments["load"].max_errors == 10
    assert project.environments["dev-web"].observe == 2
    assert (project.environments["test"].observe, project.environments["test"].max_errors) == (5, 100)


def test_a_selector_leads_to_an_error_only_where_a_need_is_missing(tmp_path: Path) -> None:
    """`dev-web` has the frontend without the search it needs: that is told, and nothing else."""
    checkout(tmp_path)
    text = TWELVE.replace("teams: [web, catalog, search]", "teams: [web]")
    (tmp_path / "tidegate.yaml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        load(tmp_path)
    assert [one.message for one in caught.value.problems] == [
        "frontend needs search, which is not in dev-web",
        "frontend needs backend, which is not in dev-web",
    ]


def test_shapes_follow_the_environment_and_what_it_is_like(tmp_path: Path) -> None:
    """The nearest wins: this environment, the one it is like, the default; a component before its environment."""
    frontend = load(checkout(tmp_path)).components["frontend"]
    assert {name: frontend.shape(name).replicas for name in ("dev", "prod", "prod-eu", "prod-asia")} == {
        "dev": 1, "prod": 3, "prod-eu": 3, "prod-asia": 2,
    }  # fmt: skip
    assert frontend.shape("dev").exposed
    assert variables(frontend, "dev") == {"GREETING": "hello", "LOG_LEVEL": "trace", "RETRIES": "3", "FAST": "true"}
    assert variables(frontend, "prod-asia") == {
        "GREETING": "bonjour",
        "LOG_LEVEL": "warning",
        "REGION": "asia",
        "RETRIES": "3",
        "FAST": "true",
        "TOKEN": Secret("env:PROD_TOKEN"),
    }


def test_a_component_is_read_as_written(tmp_path: Path) -> None:
    """Names, folders, sources, times and health in the units of the model."""
    components = load(checkout(tmp_path)).components
    backend, frontend = components["backend"], components["frontend"]
    assert backend.manifest == "services/backend/service.yaml"
    assert backend.folder == backend.runtime.folder == "services/backend"
    assert backend.sources == ("services/backend", "libs")
    assert (backend.build, backend.runtime.drain, backend.runtime.grace) == ("make", 500, 60_000)
    assert frontend.runtime.needs == ("backend", "search")
    assert frontend.runtime.health == Health(HealthKind.HTTP, "/healthz", 500, 1000, 120_000, 5)
    assert components["search"].folder == "services/search-engine"
    assert components["payments"].runtime.health == Health(HealthKind.COMMAND, "./check")
    assert components["payments"].runtime.verify == "./look"


def test_the_smallest_project(tmp_path: Path) -> None:
    """Two keys and one: the folder names the component, and one team named as the organization owns it."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "tidegate.yaml").write_text("organization: acme\nenvironments: {dev: }\n")
    (root / "service.yaml").write_text("run: python app.py\n")
    project = load(root)
    shop = project.components["shop"]
    assert (shop.team, shop.folder, shop.sources, shop.shape("dev").replicas) == ("acme", ".", (".",), 1)


def test_other_folders_are_not_entered(tmp_path: Path) -> None:
    """Hidden folders, packages, ignored ones, other projects, links, and manifests of Kubernetes are left alone."""
    checkout(tmp_path)
    (tmp_path / ".gitignore").write_text("out/\n/generated\n")
    for folder in (".hidden", "node_modules/x", "deep/out", "generated", "examples/other/inner"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "service.yaml").write_text("nonsense: true\n")
    (tmp_path / "examples/other/tidegate.yaml").write_text("nonsense: true\n")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s/service.yaml").write_text("apiVersion: v1\nkind: Service\n")
    assert sorted(load(tmp_path).components) == ["backend", "frontend", "payments", "search"]


def test_anchors_are_shared_and_cannot_explode(tmp_path: Path) -> None:
    """Aliases save typing; a document that would be huge without them, or deeper than others may be, is refused."""
    (tmp_path / "tidegate.yaml").write_text(
        "organization: acme\nenvironments: {dev: {env: &e {A: b}}, two: {env: *e}}\n"
    )
    (tmp_path / "service.yaml").write_text("name: a\nrun: x\n")
    assert load(tmp_path).environments["two"].env == (("A", "b"),)
    laughs = "".join(f"l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(25))
    (tmp_path / "service.yaml").write_text(f"name: a\nrun: x\nl0: &l0 [x]\n{laughs}needs: *l25\n")
    with pytest.raises(ManifestError) as caught:
        load(tmp_path)
    (problem,) = caught.value.problems
    assert "more than 50,000 values" in problem.message
    steps = "".join(f"l{i + 1}: &l{i + 1} [[[[[*l{i}]]]]]\n" for i in range(9))
    (tmp_path / "service.yaml").write_text(f"name: a\nrun: x\nl0: &l0 [x]\n{steps}")
    with pytest.raises(ManifestError, match="nested more than 32 levels"):
        load(tmp_path)


def test_a_thousand_components_are_loaded(tmp_path: Path) -> None:
    """1,000 manifests in 20 folders are found, read and checked; `bench/manifests.py` says how fast."""
    environments = "".join(f"  e{number}: {{like: dev}}\n" for number in range(12))
    (tmp_path / "tidegate.yaml").write_text(f"organization: acme\nenvironments:\n  dev: {{}}\n{environments}")
    for number in range(1000):
        folder = tmp_path / f"group-{number % 20}" / f"s{number}"
        folder.mkdir(parents=True)
        needs = ", ".join(f"s{other}" for other in range(max(0, number - 3), number))
        (folder / "service.yaml").write_text(
            f"build: make\nrun: ./serve --port $PORT\nreplicas: {{default: 1, dev: 3}}\nhealth: /healthz\n"
            f"needs: [{needs}]\nexpose: true\n"
            "env:\n  LEVEL: {default: info, dev: debug}\n  TOKEN: {secret: 'env:T'}\n"
        )
    assert len(load(tmp_path).components) == 1000


def key_sets(schema: dict[str, object]) -> set[str]:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return set(properties)


def test_the_schemas_know_exactly_the_keys_that_the_reader_knows() -> None:
    """An editor neither marks a key that works nor proposes one that does not."""
    top, service = tidegate_schema(), service_schema()
    assert key_sets(top) == set(TIDEGATE_KEYS)
    for kind, schema in {Kind.SERVICE: service, Kind.WORKER: worker_schema(), Kind.TASK: task_schema()}.items():
        assert key_sets(schema) == set(KEYS[kind])
        assert key_sets(schema["properties"]["image"]["anyOf"][1]) == set(IMAGE_KEYS)
        assert key_sets(schema["properties"]["kubernetes"]["anyOf"][0]) == set(CLUSTER_KEYS[kind])
    inner = top["properties"]
    environment = inner["environments"]["additionalProperties"]["anyOf"][0]
    assert key_sets(environment) == set(ENVIRONMENT_KEYS)
    assert key_sets(environment["properties"]["max_extra"]["anyOf"][1]) == set(MAX_EXTRA_KEYS)
    assert key_sets(inner["teams"]["additionalProperties"]["anyOf"][0]) == set(TEAM_KEYS)
    assert key_sets(inner["builds"]) == set(BUILDS_KEYS)
    assert key_sets(inner["images"]) == set(IMAGES_KEYS)
    assert key_sets(environment["properties"]["target"]["anyOf"][1]) == set(TARGET_KEYS)
    cluster = service["properties"]["kubernetes"]["anyOf"][0]["properties"]
    assert key_sets(cluster["expose"]["anyOf"][1]) == set(EXPOSE_KEYS)
    assert key_sets(cluster["autoscale"]) == set(AUTOSCALE_KEYS)
    assert key_sets(inner["resources"]["additionalProperties"]["additionalProperties"]) == set(RESOURCE_KEYS)
    assert key_sets(service["properties"]["health"]["anyOf"][1]) == set(HEALTH_KEYS)
    assert key_sets(service["properties"]["before"]["anyOf"][1]) == set(HOOK_KEYS)


def test_every_example_of_the_schemas_is_accepted(tmp_path: Path) -> None:
    """What an editor shows as an example loads, key by key, and the schema accepts it too."""
    import json

    import jsonschema

    (tmp_path / "shared").mkdir()
    for name in ("frontend", "backend", "alone"):
        (tmp_path / name / "settings").mkdir(parents=True)
        (tmp_path / name / "settings" / "default.json").write_text("{}")
        (tmp_path / name / "service.yaml").write_text("team: web\nrun: x\n")
        (tmp_path / name / "Dockerfile").write_text("FROM scratch\n")
    base = {"organization": "acme", "teams": {"web": {}}, "environments": {"dev": {}}}
    plain = {"team": "web", "run": "x"}
    top = tidegate_schema()
    kinds = {Kind.SERVICE: service_schema(), Kind.WORKER: worker_schema(), Kind.TASK: task_schema()}
    valid_top = jsonschema.Draft202012Validator(top)
    valid = {kind: jsonschema.Draft202012Validator(schema) for kind, schema in kinds.items()}

    def accepted(tidegate: object, frontend: object, kind: Kind = Kind.SERVICE) -> None:
        (tmp_path / "tidegate.yaml").write_text(json.dumps(tidegate))
        (tmp_path / "frontend" / f"{kind}.yaml").write_text(json.dumps(frontend))
        load(tmp_path)
        assert not [*valid_top.iter_errors(tidegate), *valid[kind].iter_errors(frontend)]

    inner = top["properties"]
    for key, schema in inner.items():
        accepted({**base, key: schema["examples"][0]}, plain)
    environment = inner["environments"]["additionalProperties"]["anyOf"][0]["properties"]
    for key, schema in environment.items():
        accepted({**base, "environments": {"dev": {}, "two": {key: schema["examples"][0]}}}, plain)
    for key, schema in environment["target"]["anyOf"][1]["properties"].items():
        target = {"kind": "kubernetes", key: schema["examples"][0]}
        accepted({**base, "environments": {"dev": {"target": target}}}, plain)
    for key, schema in environment["max_extra"]["anyOf"][1]["properties"].items():
        accepted({**base, "environments": {"dev": {"max_extra": {key: schema["examples"][0]}}}}, plain)
    local = inner["resources"]["additionalProperties"]["additionalProperties"]["properties"]
    one = {key: schema["examples"][0] for key, schema in local.items()}
    accepted({**base, "resources": {"cache": {"default": one}}}, {**plain, "needs": ["cache"]})
    for kind, document in kinds.items():
        for key, schema in document["properties"].items():
            accepted(base, {**plain, key: schema["examples"][0]}, kind)
            for inside, each in _table_of(schema).items():
                required = {"run": "x"} if key in {"before", "after"} else {}
                accepted(base, {**plain, key: {**required, inside: each["examples"][0]}}, kind)
        (tmp_path / "frontend" / f"{kind}.yaml").unlink()


def _table_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The keys that a table in this place can have, if the schema names them."""
    forms = [schema, *schema.get("anyOf", ())]
    return next((form["properties"] for form in forms if "properties" in form), {})
