"""docs/manifests.md, the reference of keys: complete, and every example in it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.manifest.projects import write
from tidegate.manifest import load
from tidegate.manifest.cluster import KEYS as CLUSTER_KEYS
from tidegate.manifest.component import HOOK_KEYS, KEYS
from tidegate.manifest.environments import KEYS as ENVIRONMENT_KEYS
from tidegate.manifest.health import KEYS as HEALTH_KEYS
from tidegate.manifest.image import KEYS as IMAGE_KEYS
from tidegate.manifest.organization import KEYS as TOP_KEYS
from tidegate.manifest.resources import KEYS as RESOURCE_KEYS
from tidegate.manifest.target import KEYS as TARGET_KEYS
from tidegate.model.component import Kind

TEXT = (Path(__file__).parents[2] / "docs" / "manifests.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^#{2,3} ([^\n]+)\n(.*?)(?=^#{2,3} |\Z)", TEXT, re.DOTALL | re.MULTILINE))
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| `([^`]+)` \|$", re.MULTILINE)
DOCUMENTED = {
    "tidegate.yaml": TOP_KEYS,
    "An environment": ENVIRONMENT_KEYS,
    "A target": TARGET_KEYS,
    "A resource": RESOURCE_KEYS,
    "service.yaml": KEYS[Kind.SERVICE],
    "Health": HEALTH_KEYS,
    "Before and after": HOOK_KEYS,
    "An image": IMAGE_KEYS,
    "In a cluster": CLUSTER_KEYS[Kind.SERVICE],
    "worker.yaml": KEYS[Kind.WORKER],
    "task.yaml": KEYS[Kind.TASK],
}
TOP = "organization: acme\nteams: {web: {}, catalog: {}}\nenvironments: {dev: {}, prod: {}}\n"
CACHE = 'resources: {cache: {default: {url: "redis://cache.acme.example"}}}\n'


def test_the_whole_example_loads(tmp_path: Path) -> None:
    """All blocks together are one project, with every kind and a resource."""
    blocks = re.findall(r"^```yaml (\S+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert len(blocks) == TEXT.count("```") / 2, "each block is a file of the example"
    project = load(write(tmp_path, dict(blocks)))
    assert {one.kind for one in project.components.values()} == set(Kind)
    assert [name for name, _ in project.components["orders"].shape("dev").resources] == ["orders-db"]


@pytest.mark.parametrize("section", DOCUMENTED)
def test_every_key_is_there_once_and_its_example_loads(section: str, tmp_path: Path) -> None:
    """Key by key, in a project that has what the examples name."""
    rows = ROW.findall(SECTIONS[section])
    assert sorted(key for key, _ in rows) == sorted(DOCUMENTED[section])
    write(tmp_path, {"a/Dockerfile": "FROM scratch\n", "backend/Dockerfile": "FROM scratch\n"})
    write(tmp_path, {"libs/x": "", "a/settings/default.json": "{}", "backend/service.yaml": "team: web\nrun: x\n"})
    for key, example in rows:
        assert example.startswith(f"{key}: ")
        top, component, file = f"{TOP}{CACHE}", "team: web\nrun: x\n", "a/service.yaml"
        match section:
            case "tidegate.yaml":
                top = "".join(line for line in f"{TOP}{CACHE}".splitlines(keepends=True) if key not in line)
                top += f"{example}\n"
            case "An environment":
                top = f"{TOP.replace('prod: {}', f'prod: {{{example}}}')}{CACHE}"
            case "A resource":
                others = {"run": 'url: "x://h:$PORT"', "url": "run: x"}.get(key, 'run: x, url: "x://h:$PORT"')
                top = f"{TOP}resources: {{cache: {{default: {{{example}, {others}}}}}}}\n"
            case "A target":
                target = f"target: {{{example if key == 'kind' else f'kind: kubernetes, {example}'}}}"
                top = f"{TOP.replace('prod: {}', f'prod: {{{target}}}')}{CACHE}"
            case "An image":
                component += f"image: {{{example}}}\n"
            case "In a cluster":
                component += f"kubernetes: {{{example}}}\n"
            case "Health":
                component += f"health: {{{example}}}\n"
            case "Before and after":
                component += f"before: {{{example if key == 'run' else f'run: x, {example}'}}}\n"
            case _:
                file = f"a/{section}"
                component = "".join(line for line in component.splitlines(keepends=True) if f"{key}:" not in line)
                component += f"{example}\n"
                if key == "port":
                    top = f"{TOP.replace(', prod: {}', '')}{CACHE}"
        load(write(tmp_path, {"tidegate.yaml": top, file: component}))
