"""`tidegate init` proposes what works, says what it does not know, and destroys nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tidegate.discovery import Proposal, propose, write
from tidegate.errors import TidegateError
from tidegate.manifest import Project, load
from tidegate.model.network import NETWORK_VARIABLES

PYTHON_SERVER = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

HTTPServer(("127.0.0.1", PORT), Hello).serve_forever()
"""
READS_PORT = PYTHON_SERVER.replace("PORT)", 'int(os.environ["PORT"]))')
NODE_SERVER = """\
require('http').createServer((q, a) => a.end('hello')).listen(process.env.PORT || 3000, '127.0.0.1')
"""
COMPOSE = """\
services:
  web:
    build: ./web
    command: python3 server.py
    ports: ["8080:8080"]
    depends_on: [api]
    environment:
      API: http://api:8000/v1
      LOG_LEVEL: info
      ADMIN_PASSWORD: hunter2
      OUTSIDE: ${OUTSIDE}
    healthcheck:
      test: [CMD, curl, -f, "http://localhost:8080/up"]
  api:
    build: {context: api}
    depends_on:
      db: {condition: service_healthy}
  db:
    image: postgres:16
"""


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def accepted(root: Path) -> tuple[Proposal, Project]:
    proposal = propose(root)
    write(proposal, root)
    return proposal, load(root)


def answers(project: Project, component: str) -> bool:
    """Start one component as its manifest says, on a free port (or its fixed one), until it answers."""
    spec = project.components[component]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = spec.runtime.port or free.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "HOME": os.environ.get("HOME", "/")}
    command = ["/bin/sh", "-c", f"exec {spec.runtime.run}"]
    with subprocess.Popen(command, cwd=project.root / spec.folder, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                        return bool(answer.read() == b"hello")
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.05)
            return False
        finally:
            process.terminate()


def test_a_node_server_without_dependencies(tmp_path: Path) -> None:
    """package.json alone is enough: no build, node itself is started, and it answers on $PORT."""
    root = made(tmp_path, {"package.json": '{"scripts": {"start": "node server.js"}}', "server.js": NODE_SERVER})
    proposal, project = accepted(root)
    (component,) = project.components.values()
    assert (component.runtime.run, component.build, component.runtime.port) == ("node server.js", "", None)
    assert proposal.unknown == ()
    assert list(project.environments) == ["dev", "stage", "prod"]
    assert project.environments["prod"].after == ("stage",)
    if _has("node"):
        assert answers(project, component.name)


def _has(program: str) -> bool:
    return any(Path(folder, program).exists() for folder in os.environ["PATH"].split(os.pathsep))


@pytest.mark.parametrize(
    "file", [{"pyproject.toml": '[project]\nname = "x"\nversion = "1"\n'}, {"Procfile": "web: python3 server.py\n"}]
)
def test_a_python_server_that_reads_port(file: dict[str, str], tmp_path: Path) -> None:
    """With pyproject.toml or a Procfile: started with Python, and it answers."""
    _, project = accepted(made(tmp_path, {"server.py": READS_PORT, **file}))
    (component,) = project.components.values()
    assert component.runtime.run == "python3 server.py"
    assert component.runtime.port is None
    assert answers(project, component.name)


def test_a_fixed_port_is_proposed_as_such_and_told(tmp_path: Path) -> None:
    """A program that cannot be told its port gets `port:`, one environment, and a word about it."""
    files = {"server.py": PYTHON_SERVER.replace("PORT)", "18431)"), "Procfile": "web: python3 server.py\n"}
    proposal, project = accepted(made(tmp_path, files))
    (component,) = project.components.values()
    assert component.runtime.port == 18431
    assert list(project.environments) == ["dev"]
    assert any("fixed port 18431" in one and "$PORT" in one for one in proposal.unknown)


def test_a_compose_file_with_two_services_and_a_database(tmp_path: Path) -> None:
    """Connections become needs, passwords references, and what is not possible yet is said."""
    files = {"compose.yaml": COMPOSE, "web/server.py": READS_PORT, "api/server.py": READS_PORT}
    files["api/Dockerfile"] = 'FROM python:3.12\nWORKDIR /app\nEXPOSE 8000\nCMD ["python3", "/app/server.py"]\n'
    proposal, project = accepted(made(tmp_path, files))
    web, api = project.components["web"], project.components["api"]
    assert web.runtime.needs == ("api",)
    assert web.runtime.run == 'env API="$API_URL/v1" python3 server.py'
    assert web.runtime.health.check == "/up"
    assert web.shape("dev").exposed
    assert not api.shape("dev").exposed
    assert {name for name, _ in web.shape("dev").env} == {"ADMIN_PASSWORD", "LOG_LEVEL"}
    said = "\n".join(proposal.unknown)
    assert "db (postgres:16) is a resource" in said
    assert "OUTSIDE" in said
    assert "hunter2" not in "".join(text for _, text, _ in proposal.files) + said
    assert answers(project, "web")
    assert answers(project, "api")


def test_a_password_inside_an_address_is_a_secret(tmp_path: Path) -> None:
    """It gets into no file, whatever its variable is called."""
    url = "{DB_URL: 'postgres://app:hunter2@db:5432/app', CACHE: 'redis://cache:6379/0'}"
    compose = f"services:\n  api: {{build: ., command: python3 server.py, environment: {url}}}\n"
    proposal = propose(made(tmp_path, {"server.py": READS_PORT, "compose.yaml": compose}))
    texts = "".join(text for _, text, _ in proposal.files)
    assert "hunter2" not in texts
    assert "env:DB_URL" in texts
    assert "redis://cache:6379/0" in texts
    assert any("gets DB_URL from your environment" in one for one in proposal.unknown)


def test_variables_of_a_dockerfile_are_not_lost_silently(tmp_path: Path) -> None:
    """They are not proposed, since most are of the image; a person hears their names."""
    docker = 'FROM x\nENV FOO=bar \\\n    PATH=/x:$PATH MODE="a b=c"\nENV OLD a=b\nENV PORT 80\nCMD python3 server.py'
    proposal = propose(made(tmp_path, {"server.py": READS_PORT, "Dockerfile": docker}))
    assert any("sets FOO, MODE, OLD: give in env:" in one for one in proposal.unknown)


def test_a_folder_of_many_services(tmp_path: Path) -> None:
    """Frameworks are recognised, lock files are used, and literal ports give way to $PORT."""
    files = {
        "services/api/pyproject.toml": '[project]\nname = "api"\ndependencies = ["fastapi", "uvicorn"]\n',
        "services/api/uv.lock": "",
        "services/api/api/main.py": 'from fastapi import FastAPI\napp = FastAPI()\n@app.get("/healthz")\n',
        "services/page/requirements.txt": "flask\n",
        "services/page/page.py": "from flask import Flask\napp = Flask(__name__)\n",
        "services/admin/manage.py": "",
        "services/admin/requirements.txt": "django\n",
        "services/old/Procfile": "web: gunicorn -b 0.0.0.0:8000 old:app\nworker: python3 work.py\n",
        "services/old/requirements.txt": "gunicorn\n",
        "shop/package.json": '{"scripts": {"start": "next start", "build": "next build"}, "dependencies": {"a": "1"}}',
        "shop/package-lock.json": "{}",
        "libs/common/pyproject.toml": '[project]\nname = "common"\nversion = "1"\n',
        "node_modules/left/package.json": '{"scripts": {"start": "node x.js"}}',
    }
    proposal, project = accepted(made(tmp_path, files))
    assert {name: (one.build, one.runtime.run) for name, one in project.components.items()} == {
        "api": ("uv sync --frozen", ".venv/bin/uvicorn api.main:app --host 127.0.0.1 --port $PORT"),
        "page": (
            "uv venv && uv pip install -r requirements.txt",
            ".venv/bin/flask --app page:app run --host 127.0.0.1 --port $PORT",
        ),
        "admin": (
            "uv venv && uv pip install -r requirements.txt",
            ".venv/bin/python manage.py runserver --noreload 127.0.0.1:$PORT",
        ),
        "old": ("uv venv && uv pip install -r requirements.txt", ".venv/bin/gunicorn -b 0.0.0.0:$PORT old:app"),
        "shop": ("npm ci && npm run build", "npm start"),
    }
    assert project.components["api"].runtime.health.check == "/healthz"
    assert any("worker is left out" in one for one in proposal.unknown)


@pytest.mark.parametrize(("dependency", "passed"), [("flask\n", ("SSL_CERT_FILE", "https_proxy")), ("", ())])
def test_the_way_to_the_network_is_passed_to_builds_that_download(
    dependency: str, passed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company's proxy the first build works; names are written, values never."""
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy:3128")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/acme.pem")
    files = {"app.py": READS_PORT} | ({"requirements.txt": dependency} if dependency else {})
    proposal, project = accepted(made(tmp_path, {**files, "Procfile": "web: python3 app.py\n"}))
    assert project.build_pass == passed
    text = next(text for path, text, _ in proposal.files if path == "tidegate.yaml")
    assert ("downloads may need them" in text) == bool(passed)
    assert "hunter2" not in text


def test_nothing_is_overwritten_and_all_or_nothing_is_written(tmp_path: Path) -> None:
    """What exists is neither proposed nor touched; a file that came into being meanwhile stops everything."""
    made(
        tmp_path, {"a/Procfile": "web: ./a $PORT\n", "b/Procfile": "web: ./b $PORT\n", "b/service.yaml": "run: mine\n"}
    )
    proposal = propose(tmp_path)
    assert [path for path, _, _ in proposal.files] == ["tidegate.yaml", "a/service.yaml"]
    assert any("b/service.yaml exists already" in one for one in proposal.unknown)
    (tmp_path / "a/service.yaml").write_text("run: theirs\n")
    with pytest.raises(TidegateError, match="cannot write the manifests"):
        write(proposal, tmp_path)
    assert not (tmp_path / "tidegate.yaml").exists()
    assert (tmp_path / "a/service.yaml").read_text() == "run: theirs\n"
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["Procfile", "service.yaml"]


def test_an_empty_folder_is_told_what_to_write(tmp_path: Path) -> None:
    """Where there is nothing, the next thing to do is said."""
    proposal, project = accepted(tmp_path)
    assert project.components == {}
    assert any("No component was found" in one for one in proposal.unknown)


MONOREPO = {
    "services/web/package.json": '{"scripts": {"start": "node server.js"}}',
    "services/web/server.js": NODE_SERVER + "fetch(process.env.API_URL)\n",
    "services/api/requirements.txt": "",
    "services/api/server.py": READS_PORT + 'os.environ.get("USER_STORE_URL"); os.environ["OTHER_URL"]\n',
    "services/user-store/Procfile": "web: ./store $PORT\n",
    "services/user-store/store.js": "const { API_URL, PORT } = process.env\n",
}


def test_calls_between_services_become_needs(tmp_path: Path) -> None:
    """Who reads API_URL needs api; what others call is not exposed, and that is said. Circles are opened."""
    proposal, project = accepted(made(tmp_path, MONOREPO))
    needs = {name: one.runtime.needs for name, one in project.components.items()}
    assert needs["web"] == ("api",)
    assert {needs["api"], needs["user-store"]} in ({("user-store",), ()}, {(), ("api",)})
    assert any("circle" in one for one in proposal.unknown)
    assert {name: one.shape("dev").exposed for name, one in project.components.items()} == {
        "web": True,
        "api": False,
        "user-store": not needs["api"],
    }
    assert any(one.startswith("api is called by") and "expose: true" in one for one in proposal.unknown)


def test_in_a_folder_of_a_project_its_service_alone_is_proposed(tmp_path: Path) -> None:
    """The project above is named and takes it up, with what it needs there; where nothing is, it is refused."""
    root = made(tmp_path, {**MONOREPO, "tidegate.yaml": "organization: acme\nenvironments: {dev: {}}\n"})
    made(root, {"services/api/service.yaml": "run: x\n", "services/docs/index.html": ""})
    proposal = propose(root / "services/web")
    write(proposal, root / "services/web")
    assert [path for path, _, _ in proposal.files] == ["service.yaml"]
    assert any(f"{root / 'tidegate.yaml'} is above" in one for one in proposal.unknown)
    assert load(root).components["web"].runtime.needs == ("api",)
    with pytest.raises(TidegateError, match="cannot propose anything here") as refused:
        propose(root / "services/docs")
    assert "service.yaml" in refused.value.hint


def test_a_folder_that_the_project_above_does_not_look_into_is_its_own(tmp_path: Path) -> None:
    """Such as one that its .gitignore names."""
    files = {"tidegate.yaml": "organization: a\n", ".gitignore": "own/\n", "own/Procfile": "web: ./a $PORT\n"}
    assert propose(made(tmp_path, files) / "own").files[0][0] == "tidegate.yaml"


def test_a_missing_lock_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Each tool in its own words."""
    files = {
        "a/pyproject.toml": '[project]\nname = "a"\nversion = "1"\ndependencies = ["flask"]\n',
        "a/app.py": "",
        "b/requirements.txt": "flask\n",
        "b/app.py": "",
        "c/package.json": '{"scripts": {"start": "node a.js"}, "dependencies": {"x": "1"}}',
    }
    said = "\n".join(propose(made(tmp_path, files)).unknown)
    assert "a has no uv.lock: the same sources may give different releases. Run `uv lock`" in said
    assert "b has no uv.lock" in said
    assert "Pin every version in requirements.txt" in said
    assert "Run `npm install` there, commit package-lock.json" in said


def test_workers_and_resources_that_are_there_stay_what_they_are(tmp_path: Path) -> None:
    """Their folders are left alone, their names are taken, and nobody is proposed to call them."""
    files = {
        "tidegate.yaml": "organization: a\nenvironments: {dev: {}}\nresources: {api: {dev: {url: x}}}\n",
        "jobs/Procfile": "web: ./jobs\n",
        "jobs/worker.yaml": "run: ./jobs\n",
        "web/Procfile": "web: ./web $PORT\n",
        "web/web.js": "const { API_URL, JOBS_URL, PORT } = process.env\n",
        "api/Procfile": "web: ./api $PORT\n",
    }
    proposal, project = accepted(made(tmp_path, files))
    assert [path for path, _, _ in proposal.files] == ["api/service.yaml", "web/service.yaml"]
    assert "jobs/worker.yaml exists already and is left as it is." in proposal.unknown
    assert {name: one.runtime.needs for name, one in project.components.items()} == {
        "api-2": (), "jobs": (), "web": (),
    }  # fmt: skip


def test_variables_that_tidegate_sets_itself_are_not_proposed(tmp_path: Path) -> None:
    """A person hears of those that have to be called otherwise."""
    compose = "services:\n  api: {build: ., command: python3 server.py, environment: {DATA: /data, PORT: 80, A: b}}\n"
    proposal, project = accepted(made(tmp_path, {"server.py": READS_PORT, "compose.yaml": compose}))
    (component,) = project.components.values()
    assert dict(component.shape("dev").env) == {"A": "b"}
    assert any("DATA of api is left out: Tidegate sets it" in one for one in proposal.unknown)


@pytest.mark.parametrize("name", ["compose.yaml", "package.json", "pyproject.toml", "Procfile", "Dockerfile"])
@pytest.mark.parametrize("text", ["", "[", "[]", "services: [a]", '{"scripts": [1], "main": 3}', "a: &x [*x]", "\0\t:"])
def test_damaged_files_never_stop_it(name: str, text: str, tmp_path: Path) -> None:
    """Whatever lies in a file: a proposal that loads comes out."""
    accepted(made(tmp_path, {name: text}))
