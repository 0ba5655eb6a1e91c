"""One folder: how the program in it is built and started, by its Procfile, Dockerfile, package.json or Python files."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.discovery.candidate import Candidate
from tidegate.discovery.sources import Sources, read_sources

MARKERS = frozenset({"Procfile", "Dockerfile", "package.json", "pyproject.toml", "requirements.txt", "manage.py"})
PROGRAMS = ("uvicorn", "gunicorn", "hypercorn", "flask", "fastapi", "django-admin", "waitress-serve")
_LITERAL_PORT = re.compile(r"(--port[ =]|-p |(?:--bind|-b)[ =]\S*?:|runserver \S*?:)([0-9]{2,5})\b")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """How the folder is built, what it is started with if nothing else says so, and the files that say it."""

    build: str = ""
    run: str = ""
    python: bool = False
    why: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_folder(folder: Path, relative: str, name: str, command: str = "", port: int | None = None) -> Candidate | None:
    """The component in `folder`; None if nothing says how to start it. `command`, `port`: known from elsewhere."""
    sources = read_sources(folder)
    tools = _node(folder) or _python(folder, sources) or Toolchain()
    why, unknown = list(tools.why), list(tools.unknown)
    docker, exposed, more = _dockerfile(folder)
    unknown.extend(more)
    web, others = _procfile(folder)
    unknown.extend(
        f"{_at(relative, 'Procfile')}: process {other} is left out: only web is a service. If it works for ever, "
        "a worker.yaml in a folder of its own can run it."
        for other in others
    )
    run = command or web or tools.run or docker
    if web and run == web:
        why.append("Procfile")
    if docker and run == docker:
        why.append("Dockerfile")
    if not run:
        return None
    if tools.python and tools.build:
        run = _from_environment(run)
    run = _LITERAL_PORT.sub(lambda match: f"{match[1]}$PORT", run)
    fixed = None
    if "PORT" not in run and not sources.uses_port:
        fixed = sources.port or port or exposed
        place = relative if relative != "." else name
        if fixed:
            unknown.append(
                f"{place} listens on the fixed port {fixed}: it can run once on this machine. "
                "Let it listen on $PORT and remove port:."
            )
        else:
            unknown.append(f"{place}: cannot see where it listens. It has to listen on $PORT.")
    return Candidate(
        name,
        relative,
        run,
        tools.build,
        fixed,
        sources.health,
        reads=sources.reads,
        why=tuple(dict.fromkeys(why)),
        unknown=tuple(unknown),
    )


def _at(relative: str, file: str) -> str:
    return file if relative == "." else f"{relative}/{file}"


def _procfile(folder: Path) -> tuple[str, list[str]]:
    lines = _text(folder / "Procfile").splitlines()
    matches = [re.match(r"([\w-]+):\s*(\S.*)", line) for line in lines]
    processes: dict[str, str] = {match[1]: match[2] for match in matches if match}
    if len(processes) == 1:
        return next(iter(processes.values())), []
    return processes.get("web", ""), sorted(processes.keys() - {"web"})


def _dockerfile(folder: Path) -> tuple[str, int | None, list[str]]:
    text = re.sub(r"\\\n\s*", " ", _text(folder / "Dockerfile"))
    found: dict[str, str] = {}
    for match in re.finditer(r"^\s*(CMD|ENTRYPOINT|EXPOSE|WORKDIR)\s+(.+)$", text, re.MULTILINE | re.IGNORECASE):
        found[match[1].upper()] = match[2].strip()
    parts = [_exec_form(found[key]) for key in ("ENTRYPOINT", "CMD") if key in found]
    run = " ".join(part for part in parts if part)
    home = found.get("WORKDIR", "").rstrip("/")
    if home:
        run = run.replace(f"{home}/", "./")
    exposed = re.match(r"([0-9]{1,5})", found.get("EXPOSE", ""))
    packages = re.search(r"^RUN .*\b(apt-get install|apk add)\b", text, re.MULTILINE)
    unknown = (
        [f"{folder.name}/Dockerfile installs system packages: they have to be on this machine."] if packages else []
    )
    if variables := [name for name in _dockerfile_variables(text) if name not in ("PATH", "PORT")]:
        unknown.append(f"{folder.name}/Dockerfile sets {', '.join(variables)}: give in env: what the program needs.")
    return run, int(exposed[1]) if exposed else None, unknown


def _dockerfile_variables(text: str) -> list[str]:
    """Names that `ENV NAME=value OTHER="some value"` and the older `ENV NAME some value` set."""
    names: list[str] = []
    for match in re.finditer(r"^[ \t]*ENV[ \t]+(\w+)(.*)$", text, re.MULTILINE | re.IGNORECASE):
        first, rest = match.groups()
        others = re.findall(r"\s(\w+)=", re.sub(r"\"[^\"]*\"|'[^']*'", "", rest)) if rest.startswith("=") else []
        names += [first, *others]
    return list(dict.fromkeys(names))


def _exec_form(text: str) -> str:
    if not text.startswith("["):
        return text
    try:
        words = json.loads(text)
    except ValueError:
        return text
    words = [str(word) for word in words] if isinstance(words, list) else []
    if words[:2] in (["sh", "-c"], ["/bin/sh", "-c"], ["bash", "-c"]) and len(words) == 3:
        return str(words[2])
    return " ".join(word if re.fullmatch(r"\$\{?\w+\}?", word) else shlex.quote(word) for word in words)


def _node(folder: Path) -> Toolchain | None:
    file = folder / "package.json"
    if not file.is_file():
        return None
    try:
        package = json.loads(_text(file))
    except ValueError:
        return Toolchain(unknown=(f"{folder.name}/package.json is not JSON.",))
    if not isinstance(package, dict):
        return None
    scripts = _table(package, "scripts")
    unknown = []
    build = ""
    if package.get("dependencies") or package.get("devDependencies"):
        locks = {
            "package-lock.json": "npm ci",
            "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
            "yarn.lock": "yarn install --frozen-lockfile",
        }
        build = next((command for lock, command in locks.items() if (folder / lock).is_file()), "")
        if not build:
            build = "npm install"
            unknown.append(
                f"{folder.name} has no lock file: the same sources may give different releases. "
                "Run `npm install` there, commit package-lock.json, and let build: be npm ci."
            )
    if "build" in scripts:
        build = f"{build} && npm run build" if build else "npm run build"
    start = scripts.get("start", "")
    if isinstance(start, str) and start:
        run = start if re.fullmatch(r"node [\w./-]+", start) else "npm start"
    else:
        main = package.get("main")
        names = [main] if isinstance(main, str) else []
        entry = next((one for one in (*names, "server.js", "index.js", "app.js") if (folder / one).is_file()), "")
        run = f"node {shlex.quote(entry)}" if entry and not _table(package, "workspaces") else ""
    engine = _table(package, "engines").get("node")
    if isinstance(engine, str):
        unknown.append(f"{folder.name} asks for node {engine}: it has to be on the PATH.")
    return Toolchain(build, run, why=("package.json",), unknown=tuple(unknown))


def _python(folder: Path, sources: Sources) -> Toolchain | None:
    project_file, requirements = folder / "pyproject.toml", folder / "requirements.txt"
    files = [file.name for file in (project_file, requirements) if file.is_file()]
    programs = [name for name, _ in sources.texts if name.endswith(".py")]
    if not files and not programs:
        return None
    try:
        document = tomllib.loads(_text(project_file))
    except tomllib.TOMLDecodeError:
        return Toolchain(unknown=(f"{folder.name}/pyproject.toml is not TOML.",))
    project = _table(document, "project")
    scripts = _table(project, "scripts")
    dependencies = " ".join(str(one) for one in _list(project, "dependencies")) + _text(requirements)
    packaged = "build-system" in document
    unknown = []
    if (folder / "uv.lock").is_file():
        build = "uv sync --frozen"
    elif requirements.is_file():
        build = "uv venv && uv pip install -r requirements.txt"
    elif dependencies.strip() or packaged or scripts:
        build = "uv venv && uv pip install ."
    else:
        build = ""
    if build and dependencies.strip() and "--frozen" not in build:
        advice = (
            "Run `uv lock` there, commit uv.lock, and let build: be uv sync --frozen."
            if project
            else "Pin every version in requirements.txt; `uv pip compile` does it."
        )
        unknown.append(f"{folder.name} has no uv.lock: the same sources may give different releases. {advice}")
    run = _framework(folder, sources) or next((str(name) for name in scripts), "")
    if run.startswith("uvicorn") and "uvicorn" not in dependencies and "fastapi[" not in dependencies:
        unknown.append(f"{folder.name} is started with uvicorn, which is not among its dependencies: add it.")
    if scripts and run in scripts:
        run = f".venv/bin/{run}"
    elif not run:
        names = ("server.py", "app.py", "main.py", "__main__.py")
        entry = next((name for name in names if name in programs), "")
        run = f"python3 {entry}" if entry else ""
    return Toolchain(build, run, python=True, why=tuple(files), unknown=tuple(unknown))


def _framework(folder: Path, sources: Sources) -> str:
    if (folder / "manage.py").is_file():
        return "python manage.py runserver --noreload 127.0.0.1:$PORT"
    for name, text in sources.texts:
        match = re.search(r"^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Starlette|Flask)\(", text, re.MULTILINE)
        if match is None or not name.endswith(".py"):
            continue
        inside = name.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
        module = inside.replace("/", ".")
        if match[2] == "Flask":
            return f"flask --app {module}:{match[1]} run --host 127.0.0.1 --port $PORT"
        place = " --app-dir src" if name.startswith("src/") else ""
        return f"uvicorn{place} {module}:{match[1]} --host 127.0.0.1 --port $PORT"
    return ""


def _from_environment(run: str) -> str:
    """The same command with the programs of the virtual environment that the build makes."""
    word, _, rest = run.partition(" ")
    if word in {"python", "python3"}:
        return f".venv/bin/python {rest}".strip()
    return f".venv/bin/{run}" if word in PROGRAMS else run


def _table(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
