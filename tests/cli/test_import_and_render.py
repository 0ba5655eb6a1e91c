"""`tidegate import`, `render` and `rbac`: what people see, and what lies on the disk afterwards."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli.programs import SCHEMA, Program, Shown, tidegate
from tests.discovery.test_import import DIGEST, TUTORIAL
from tidegate.builds.image_tags import Lookup
from tidegate.cli.main import run
from tidegate.composition import registries
from tidegate.manifest import load
from tidegate.ports.target import Scenery

__all__ = ["tidegate"]
Capture = pytest.CaptureFixture[str]
WHY = "cannot use the registry docker.io: It does not answer (ConnectError)."


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tutorial in k8s/ as the current one; one of the two registries answers."""

    async def some(images: Collection[str]) -> Lookup:
        assert sorted(images) == ["acme/sample-app-backend:0.0.1", "registry.acme.example:5000/frontend"]
        return Lookup({"registry.acme.example:5000/frontend": DIGEST}, {"acme/sample-app-backend:0.0.1": WHY})

    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s/all.yaml").write_text(TUTORIAL.replace("NODE_ENV", "TIDEGATE_X"))
    (tmp_path / "config").write_text("current-context: kind-shop\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(registries, "image_digests", some)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_shows_files_what_is_lost_and_what_is_not_pinned(shop: Path, capsys: Capture) -> None:
    """With the command that prints the digest; nothing is written."""
    assert run(["import", "k8s", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "frontend/service.yaml   from Deployment frontend, k8s/all.yaml:" in text
    assert "target: {kind: kubernetes, context: kind-shop}" in text
    assert f"image: registry.acme.example:5000/frontend@{DIGEST}" in text
    assert "image: acme/sample-app-backend:0.0.1  # pin it" in text
    assert "k8s/all.yaml:21:15: Deployment sample-app-backend-deployment: TIDEGATE_X is not carried over" in text
    assert f"- acme/sample-app-backend:0.0.1: {WHY}" in text
    assert "skopeo inspect docker://acme/sample-app-backend:0.0.1" in text
    assert "Nothing was written." in text
    assert sorted(each.name for each in shop.iterdir()) == ["config", "k8s"]


def test_what_was_written_is_told_with_the_next_steps(shop: Path, capsys: Capture) -> None:
    """First the images; a second time nothing is left to write."""
    options = ["-e", "prod", "--context", "prod-eu", "--namespace", "shop", "--registry", "registry.acme.example/shop"]
    assert run(["import", "k8s", "--yes", *options]) == 0
    text = capsys.readouterr().out
    assert "Wrote tidegate.yaml, frontend/service.yaml, sample-app-backend/service.yaml." in text
    assert "pin the images that are named above\n  tidegate check\n  tidegate plan prod" in text
    manifest = shop / "sample-app-backend/service.yaml"
    manifest.write_text(manifest.read_text().replace("  # pin it: NAME@sha256:…", f"@{DIGEST}"))
    target = load(shop).environments["prod"].target
    assert (target.context, target.namespace, target.registry) == ("prod-eu", "shop", "registry.acme.example/shop")
    assert run(["import", "k8s", "--yes"]) == 0
    assert "Nothing to write" in capsys.readouterr().out


def test_programs_get_one_document(shop: Path, capsys: Capture) -> None:
    """Files, what is left out with its place, images without a digest. Without --yes nothing is written."""
    assert run(["import", "k8s", "--json"]) == 64
    jsonschema.validate(json.loads(capsys.readouterr().out), SCHEMA.schema)
    assert run(["import", "k8s", "--json", "--dry-run"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    SCHEMA.validate(found)
    assert found["schema"] == "tidegate/import/1"
    assert [one["path"] for one in found["files"]] == [
        "tidegate.yaml", "frontend/service.yaml", "sample-app-backend/service.yaml",
    ]  # fmt: skip
    assert [(one["file"], one["line"]) for one in found["left"]] == [("k8s/all.yaml", 21)]
    assert found["unpinned"] == [{"image": "acme/sample-app-backend:0.0.1", "why": WHY}]
    assert not found["written"]


def test_yaml_that_is_none_is_told_by_file_and_line(shop: Path, capsys: Capture) -> None:
    """As mistakes in manifests are."""
    (shop / "k8s/bad.yaml").write_text("apiVersion: v1\nkind: [\n")
    assert run(["import", "k8s"]) == 1
    assert "k8s/bad.yaml:3:1: this is not YAML" in capsys.readouterr().err


class Rendering(Shown):
    """Makes two objects for each group."""

    async def render(self, scenery: Scenery) -> Sequence[Mapping[str, Any]]:
        """As `Renders.render`."""
        labels = {"b": "2", "a": "1"}
        return [
            {"spec": {"text": "one\ntwo\n", "yes": "yes"}, "kind": kind, "metadata": {"name": name, "labels": labels},
             "data": {}, "apiVersion": "v1"}
            for name in sorted(scenery.entries)
            for kind in ("ConfigMap", "Service")
        ]  # fmt: skip

    async def permissions(self, environment: str) -> Sequence[Mapping[str, Any]]:
        """As `Renders.permissions`."""
        return [{"apiVersion": "v1", "kind": "Role", "metadata": {"name": environment}, "rules": []}]


RENDERED = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: frontend
  labels:
    b: '2'
    a: '1'
spec:
  text: |
    one
    two
  'yes': 'yes'
data: {}
---
apiVersion: v1
kind: Service
"""


def test_objects_are_printed_as_people_write_them(tidegate: Program) -> None:
    """In the order in which they are applied: apiVersion, kind, metadata, spec, without anchors; the same each time."""
    tidegate.target = Rendering()
    tidegate.capture.readouterr()
    first = tidegate("render", "dev").partition("---\n")[2]
    assert first.startswith(RENDERED)
    assert [each["metadata"]["name"] for each in yaml.safe_load_all(first)] == ["frontend"] * 2 + ["orders"] * 2
    assert tidegate("render", "dev").partition("---\n")[2] == first
    assert len(list(yaml.safe_load_all(tidegate("render", "dev", "--only", "orders").partition("---\n")[2]))) == 2
    found = tidegate.json("render", "dev")
    assert [each["kind"] for each in found["objects"]] == ["ConfigMap", "Service"] * 2
    assert "kind: Role" in tidegate("rbac", "dev")
    assert tidegate.json("rbac", "dev")["objects"][0]["metadata"] == {"name": "dev"}


def test_a_folder_holds_what_was_rendered_and_nothing_else_is_touched(tidegate: Program, tmp_path: Path) -> None:
    """One file for each object; those of objects that are gone go, files of others stay or stop it."""
    tidegate.target = Rendering()
    folder = tmp_path / "out/dev"
    assert "Wrote 4 files to out/dev." in tidegate("render", "dev", "--out", "out/dev")
    names = ["ConfigMap-frontend.yaml", "ConfigMap-orders.yaml", "Service-frontend.yaml", "Service-orders.yaml"]
    assert sorted(each.name for each in folder.iterdir()) == names
    (folder / "kustomization.yaml").write_text("mine: true\n")
    found = tidegate.json("render", "dev", "--out", "out/dev", "--only", "orders")
    assert found["files"] == [name for name in names if "orders" in name]
    assert found["removed"] == [name for name in names if "frontend" in name]
    assert (folder / "kustomization.yaml").exists()
    (folder / "Service-frontend.yaml").write_text("mine: true\n")
    before = (folder / "Service-orders.yaml").read_bytes()
    assert "`tidegate render` did not make it" in tidegate("render", "dev", "--out", "out/dev", status=1)
    assert (folder / "Service-frontend.yaml").read_text() == "mine: true\n"
    (folder / "Service-frontend.yaml").write_bytes(before.replace(b"render dev", b"render prod"))
    assert "a folder of its own" in tidegate("render", "dev", "--out", "out/dev", status=1)
    assert not (folder / "ConfigMap-frontend.yaml").exists()


def test_processes_are_not_rendered(tidegate: Program) -> None:
    """An environment on this machine is no set of objects."""
    assert "It lives on local" in tidegate("render", "dev", status=64)
    assert "It lives on local" in tidegate("rbac", "dev", status=64)
