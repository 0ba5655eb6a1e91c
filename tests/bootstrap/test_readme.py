"""The texts that a newcomer reads first say nothing that is not so."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tidegate.manifest import load

ROOT = Path(__file__).parents[2]
TEXTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/kubernetes.md", "examples/storefront/README.md")


@pytest.mark.parametrize("text", TEXTS)
def test_every_link_leads_somewhere(text: str) -> None:
    """Pictures, files and folders alike."""
    content = (ROOT / text).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", content):
        if "://" not in link:
            assert ((ROOT / text).parent / link).exists(), f"{text} links to {link}"


def test_the_readme_is_read_in_one_go() -> None:
    """At most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_picture_is_a_picture() -> None:
    """It is well-formed, has a title for those who do not see it, and loads nothing from anywhere."""
    text = (ROOT / "docs" / "picture.svg").read_text(encoding="utf-8")
    picture = ET.fromstring(text)
    assert picture.tag.endswith("svg")
    assert picture.find("{http://www.w3.org/2000/svg}title") is not None
    assert "href" not in text


@pytest.mark.parametrize("text", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(text: str) -> None:
    """Nobody is sent to a command that is not there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", (ROOT / text).read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= targets


def test_the_ci_entry_is_a_program() -> None:
    """It can be started, and the shell understands all of it."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


def test_the_manifests_in_the_readme_are_valid(tmp_path: Path) -> None:
    """Who copies them gets no error; only the backend that the frontend needs is added here."""
    blocks = re.findall(r"```yaml\n\s*# (\S+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in blocks] == ["tidegate.yaml", "services/frontend/service.yaml"]
    for name, text in [*blocks, ("services/backend/service.yaml", "run: node server.js\nteam: web\n")]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    settings = tmp_path / "services" / "frontend" / "settings"
    settings.mkdir()
    for environment in ("dev", "stage", "prod"):
        (settings / f"{environment}.json").write_text("{}")
    project = load(tmp_path)
    assert project.components["frontend"].shape("prod").replicas == 3


def test_the_manifests_in_the_guide_to_kubernetes_are_one_project(tmp_path: Path) -> None:
    """Who copies all of them gets no error, and what is said per environment holds there."""
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"```yaml (\S+)\n(.*?)```", text, re.DOTALL):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    page = load(tmp_path).components["page"]
    clusters = {name: page.shape(name).cluster for name in ("stage", "prod")}
    assert {name: each and each.host for name, each in clusters.items()} == {"stage": "", "prod": "shop.acme.example"}


@pytest.mark.parametrize("text", ["README.md", "docs/kubernetes.md", "examples/storefront/README.md"])
def test_every_command_that_is_named_exists(text: str) -> None:
    """All but those that the text says are to come."""
    named = set(re.findall(r"(?:\$ |`)tidegate ([a-z]+)", (ROOT / text).read_text(encoding="utf-8"))) - {"promote"}
    assert "up" in named
    for command in sorted(named):
        program = [sys.executable, "-c", "from tidegate.cli.main import main; main()", command, "--help"]
        subprocess.run(program, check=True, capture_output=True, timeout=20)
