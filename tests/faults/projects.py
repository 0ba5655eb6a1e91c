"""A checkout with workers, the real agent, and commands that are called here, to spare a start of Python each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.forks import PATIENCE, below
from tidegate.cli.main import run

PROGRAM = Path(sys.executable).with_name("tidegate")


@dataclass(frozen=True)
class Project:
    """`root` is the checkout; what runs because of it is below its parent. `began` are its commands."""

    root: Path
    began: list[subprocess.Popen[str]] = field(default_factory=list)

    def settings(self, **keys: object) -> None:
        """tidegate.yaml."""
        (self.root / "tidegate.yaml").write_text(
            json.dumps({"organization": "shop", "environments": {"dev": {"observe": "0s"}}, **keys})
        )

    def worker(self, name: str, script: str, kind: str = "worker", **keys: object) -> None:
        """A component, or its next release: a shell script."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        manifest = {"run": "exec sh run.sh", "health": {"interval": "100ms"}, "grace": "2s", **keys}
        (folder / f"{kind}.yaml").write_text(json.dumps(manifest))
        (folder / "run.sh").write_text(script)

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """`tidegate ARGUMENTS`, which has to end with this status; all that it printed."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            ended = run(["-C", str(self.root), *arguments])
        assert ended == status, printed.getvalue()
        assert "Traceback" not in printed.getvalue()
        return printed.getvalue()

    def json(self, *arguments: str, status: int = 0) -> Any:
        """The document that it prints with `--json`."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert run(["-C", str(self.root), *arguments, "--json"]) == status, printed.getvalue()
        return json.loads(printed.getvalue())

    def dev(self) -> Any:
        """What `status` says of dev."""
        return self.json("status", "dev")["environments"][0]

    def releases(self) -> dict[str, str]:
        """Component -> its release in dev."""
        return {each["component"]: each["release"] for each in self.dev()["components"]}

    def claims(self) -> Any:
        """Who changes dev now; read from the store, without a command."""
        with contextlib.closing(sqlite3.connect(self.root / ".tidegate" / "store.db")) as store:
            ((claims,),) = store.execute("SELECT claims FROM environments WHERE name = 'dev'")
        return json.loads(claims)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`tidegate ARGUMENTS` as a process of its own."""
        process = subprocess.Popen(
            [PROGRAM, "-C", str(self.root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.began.append(process)
        return process

    def instances(self) -> dict[str, int]:
        """Instance -> pid of what runs."""
        found = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error, OSError):
                variables = process.environ()
                if "TIDEGATE_INSTANCE" in variables and os.getpgid(process.pid) == process.pid:
                    found[variables["TIDEGATE_INSTANCE"]] = process.pid
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that runs because of this project, without this process."""
        return [process for process in below(self.root.parent) if process.pid != os.getpid()]


@pytest.fixture
def project(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty checkout; nothing of it runs afterwards."""
    root = short_tmp / "shop"
    root.mkdir()
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(short_tmp / "state"))
    monkeypatch.setenv("TIDEGATE_RUNTIME_DIR", str(short_tmp / "run"))
    monkeypatch.setenv("COLUMNS", "120")
    made = Project(root)
    made.settings()
    yield made
    for _ in range(2):  # an agent may start something while it is ended
        for process in made.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
    until(lambda: not made.processes())
    for command in made.began:
        with command:
            pass
    shutil.rmtree(root, ignore_errors=True)


def ended(process: subprocess.Popen[str], status: int = 0) -> str:
    """Wait for a command that has to end with this status; what it printed."""
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, said
    assert "Traceback" not in said
    return said


def until(condition: Callable[[], object]) -> None:
    """Wait for something that has to come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s"
        time.sleep(0.05)
