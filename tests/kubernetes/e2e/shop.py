"""A checkout whose environments are on the cluster, and the program `tidegate` as people run it there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import psutil
from scripts.cluster.layout import cache_folder

from tests.e2e.projects import BIN, SCHEMA
from tests.kubernetes.cluster import Cluster

PATIENCE = 150.0  # seconds for one command; none comes near
AUTHOR = ("-c", "user.name=Ana", "-c", "user.email=ana@acme.example")


@dataclass
class Shop:
    """A project below `folder`, under version control. Nothing of the user's is touched."""

    cluster: Cluster
    folder: Path
    organization: str
    env: dict[str, str]
    began: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "shop"

    def namespace(self, environment: str) -> str:
        return f"{self.organization}-{environment}"

    # Sources

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text of the sources."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def commit(self, *changes: tuple[str, str, str]) -> None:
        """Commit all that was changed, and these (file, old text, new text)."""
        for change in changes:
            self.edit(*change)
        if not (self.root / ".git").exists():
            self._git("init", "-q")
        self._git("add", "-A")
        self._git(*AUTHOR, "commit", "-qm", "Change")

    @contextmanager
    def tried(self, *changes: tuple[str, str, str]) -> Iterator[None]:
        """Committed as by `commit`, and reverted after the block."""
        self.commit(*changes)
        try:
            yield
        finally:
            self._git(*AUTHOR, "revert", "--no-edit", "HEAD")

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, timeout=PATIENCE)

    # Commands

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`tidegate ARGUMENTS` in the background, with all that it prints in one stream."""
        process = subprocess.Popen(
            [BIN, *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.began.append(process)
        return process

    def run(self, *arguments: str, status: int = 0) -> str:
        """All that `tidegate ARGUMENTS` prints; it has to end with this status."""
        return self._ended(*arguments, status=status, together=True)

    def out(self, *arguments: str, status: int = 0) -> str:
        """What it prints on standard output alone."""
        return self._ended(*arguments, status=status, together=False)

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The document that `--json` prints: one, and of the published schema."""
        place = arguments.index("--") if "--" in arguments else len(arguments)
        found: dict[str, Any] = json.loads(self.out(*arguments[:place], "--json", *arguments[place:], status=status))
        validator: jsonschema.Draft202012Validator = SCHEMA
        validator.validate(found)
        return found

    def _ended(self, *arguments: str, status: int, together: bool) -> str:
        done = subprocess.run(
            [BIN, *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        told = f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr or ''}"
        assert done.returncode == status, told
        assert 'Traceback (most recent call last):\n  File "/' not in (done.stderr or ""), told
        return done.stdout

    # What people see

    def environment(self, name: str) -> dict[str, Any]:
        """As `status --json` shows it."""
        (found,) = self.json("status", name)["environments"]
        return dict(found)

    def url(self, component: str, environment: str) -> str:
        """Where people reach it."""
        components = self.environment(environment)["components"]
        return str(next(each["url"] for each in components if each["component"] == component))

    def release(self, component: str, environment: str) -> str:
        """The one that runs."""
        components = self.environment(environment)["components"]
        return str(next(each["release"] for each in components if each["component"] == component))

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """As administrator, with the program that tests may use and the product does not."""
        context = ["--kubeconfig", str(self.cluster.kubeconfig), "--context", self.cluster.context]
        program = shutil.which("kubectl", path=f"{cache_folder() / 'bin'}:{os.environ['PATH']}") or "kubectl"
        done = subprocess.run(
            [program, *context, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        """Nothing of it runs on this machine any more."""
        for process in self.began:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE)
        for each in psutil.process_iter():
            try:
                about = [*each.cmdline(), each.cwd()]
            except (psutil.Error, OSError):
                continue
            if any(part.startswith(f"{self.folder}/") for part in about):
                each.kill()


def until(what: str, condition: Callable[[], object], *, within: float = 60.0) -> None:
    """Wait for something that has to come. Raises TimeoutError."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)
