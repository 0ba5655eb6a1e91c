"""A project of two tiny services, and the program `tidegate` as a user runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import psutil

from tidegate.cli.main import run
from tidegate.cli.output import output_schema

BIN = Path(sys.executable).parent / "tidegate"
SCHEMA = jsonschema.Draft202012Validator(output_schema())
LOOKING = {"plan", "status", "history", "releases", "logs", "prune"}  # called here, to spare a start of Python each
DEADLINE = 30.0  # seconds; nothing here takes longer than a few

SERVICE = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import urlopen

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = "{name} {version}"
        if self.path == "/" and "BACKEND_URL" in os.environ:
            with urlopen(os.environ["BACKEND_URL"], timeout=5) as answer:
                text += " on " + answer.read().decode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, form, *args):
        print(self.path, flush=True)

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Shop:
    """A project in a folder of its own; nothing of the user's is touched."""

    root: Path
    env: dict[str, str]
    urls: dict[str, str] = field(default_factory=dict)

    def write(self, component: str, text: str) -> None:
        """The program of a component."""
        (self.root / component / "main.py").write_text(text)

    def version(self, component: str, version: str) -> None:
        """A program that works."""
        self.write(component, SERVICE.format(name=component, version=version))

    def run(self, *arguments: str, status: int = 0) -> Done:
        """`tidegate ARGUMENTS`, which has to end with this status."""
        done = subprocess.run(
            [BIN, *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The document that `--json` prints: one, and of the published schema."""
        place = arguments.index("--") if "--" in arguments else len(arguments)
        called = [*arguments[:place], "--json", *arguments[place:]]
        if arguments[0] in LOOKING:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                assert run(["-C", str(self.root), *called]) == status
            found: dict[str, Any] = json.loads(printed.getvalue())
        else:
            found = json.loads(self.run(*called, status=status).out)
        SCHEMA.validate(found)
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`tidegate ARGUMENTS` in the background."""
        return subprocess.Popen(
            [BIN, *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def answer(self, component: str) -> str:
        """What users get at the entry of a component in dev; the address of an entry never changes."""
        if component not in self.urls:
            (found,) = self.json("status", "dev")["environments"]
            self.urls.update({each["component"]: each["url"] for each in found["components"]})
        url = self.urls[component]
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    def processes(self) -> list[psutil.Process]:
        """Everything that runs because of this project."""
        found = []
        for process in psutil.process_iter():
            try:
                about = [*process.cmdline(), process.cwd(), process.environ().get("TIDEGATE_STATE_DIR", "")]
            except (psutil.Error, OSError):
                continue
            if any(part.startswith(str(self.root.parent)) for part in about) and process.status() != "zombie":
                found.append(process)
        return found


def make(folder: Path) -> Shop:
    """A frontend that needs a backend, both of version 1."""
    root = folder / "shop"
    root.mkdir()
    (root / "tidegate.yaml").write_text(
        "organization: acme\n"
        "teams: {web: {members: [ana@acme.example]}}\n"
        "environments:\n"
        "  dev: {observe: 0s}\n"
        "  try: {observe: 1s}\n"
    )
    health = "health: {http: /healthz, interval: 200ms, start_timeout: 15s}\ndrain: 100ms\ngrace: 2s\n"
    for name, more in (("backend", "replicas: 2\n"), ("frontend", "needs: [backend]\nexpose: true\n")):
        (root / name).mkdir()
        (root / name / "service.yaml").write_text(f"run: {sys.executable} -I main.py\n{health}{more}")
    shop = Shop(
        root,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            "TIDEGATE_STATE_DIR": str(folder / "state"),
            "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
        },
    )
    shop.version("backend", "1")
    shop.version("frontend", "1")
    return shop


def until(what: str, condition: Callable[[], object]) -> None:
    """Wait for something that has to come. Raises TimeoutError."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def end(process: subprocess.Popen[str], *numbers: signal.Signals) -> str:
    """Send signals, wait for the end, and return all that was printed after what was read already."""
    for number in numbers:
        process.send_signal(number)
    rest, _ = process.communicate(timeout=DEADLINE)
    return rest
