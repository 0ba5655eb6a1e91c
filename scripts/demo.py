"""The demonstration behind `make demo`: three environments, and a broken release that no visitor notices.

Uses nothing but the program itself, as anybody would, in a copy of the example with a git repository of its own.
`--stop` ends everything and removes the copy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "storefront"
TIDEGATE = Path(sys.executable).with_name("tidegate")
ENVIRONMENTS = ("dev", "stage", "prod")
KEPT = {".git", ".tidegate"}  # of an earlier run: its history, its releases and what runs
LEFT_OUT = shutil.ignore_patterns(".venv", "__pycache__", ".pytest_cache", ".tidegate", "catalogue.sqlite")

# What a hurried afternoon looks like: two teams change things that belong together, one of them gets it wrong.
CHANGES = (
    (
        "services/frontend/frontend/pages.py",
        "<h1>All products</h1>",
        "<h1>Everything for the water</h1>",
        "frontend: a new heading (good)",
    ),
    (
        "services/backend/catalogue.json",
        '"id": "compass"',
        '"id": "harbour-compass"',
        "backend:  a renamed product, which others still ask for (broken: its verify command will say so)",
    ),
)


class DemoFailed(Exception):
    """The demonstration cannot go on; the text says why."""


@dataclass(frozen=True)
class Entry:
    """One address that people can open: `address` with a name for people, `url` for programs."""

    environment: str
    component: str
    address: str
    url: str


class Demo:
    """One copy of the example and the commands given in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "storefront"

    def show(self) -> None:
        """The whole demonstration. Raises `DemoFailed`."""
        begun = time.monotonic()
        self.copy()
        title("Three environments: dev, stage and prod, each with 2 services of 3 instances")
        if self.tidegate("up", *ENVIRONMENTS, "--yes", "--why", "make demo"):
            raise DemoFailed("the environments did not come up; the screen above says why")
        entries = self.entries()
        title("Open them")
        table([("environment", "component", "address"), *((e.environment, e.component, e.address) for e in entries)])

        target = next(entry for entry in entries if entry.environment == "dev")
        title("Under load, two changes that belong together go to dev; one of them is broken")
        with self.load(target.url) as load:
            for file, old, new, what in CHANGES:
                self.edit(file, old, new)
                print(f"  {what}")
            print()
            status = self.tidegate("up", "dev", "--yes", "--why", "make demo: a broken release")
            counted = load.finish()
        if status == 0:
            raise DemoFailed("the broken release went out, and should not have")
        title("What visitors noticed")
        print(
            f"  {counted['failed']} failed of {counted['requests']:,} requests, the slowest {counted['slowest']:.2f} s"
        )
        for release, answers in counted["releases"].items():
            print(f"  {answers:,} answered by frontend {release.removeprefix('sha256:')[:10]}")
        if counted["failed"] or not counted["requests"]:
            raise DemoFailed(f"visitors noticed something: {counted['failures']}")
        if len(counted["releases"]) != 1:
            raise DemoFailed("some visitors saw the broken release")
        self.next_steps()
        print(f"  ({time.monotonic() - begun:.0f} seconds; the environments keep running, `make demo-stop` ends them)")

    def stop(self) -> None:
        """End what runs and remove the copy. Raises `DemoFailed` and removes nothing if something does not end."""
        if not self.project.is_dir():
            print("no demo is running")
            return
        if (self.project / "tidegate.yaml").is_file() and self.tidegate("down", "--all", "--yes"):
            raise DemoFailed(f"not everything could be ended; {self.project} was left as it is")
        shutil.rmtree(self.folder)
        print("the demo is gone")

    def copy(self) -> None:
        """A fresh copy of the example, committed. What an earlier demo runs stays, and is used again."""
        self.project.mkdir(parents=True, exist_ok=True)
        for old in self.project.iterdir():
            if old.name in KEPT:
                continue
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()
        shutil.copytree(EXAMPLE, self.project, ignore=LEFT_OUT, dirs_exist_ok=True)
        if not (self.project / ".git").exists():
            self.git("init", "--quiet")
        self.git("add", "--all")
        # The names are given here, since a fresh machine has none configured.
        me = ("-c", "user.name=Tidegate demo", "-c", "user.email=demo@acme.example", "-c", "commit.gpgsign=false")
        self.git(*me, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "The storefront")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        path = self.project / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise DemoFailed(f"{path} has no {old!r} to change")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def entries(self) -> list[Entry]:
        """What can be opened, by the program's own word."""
        result = subprocess.run(
            [TIDEGATE, "status", "--json"], cwd=self.project, capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode:
            raise DemoFailed(f"`tidegate status --json` ended with {result.returncode}:\n{result.stderr}")
        found = [
            Entry(environment["environment"], component["component"], component["address"], component["url"])
            for environment in json.loads(result.stdout)["environments"]
            for component in environment["components"]
            if component["exposed"]
        ]
        if {entry.environment for entry in found} < set(ENVIRONMENTS):
            raise DemoFailed(f"not every environment has something to open: {found}")
        return found

    @contextmanager
    def load(self, url: str) -> Iterator[Load]:
        """Visitors, while something else happens."""
        command = [sys.executable, str(ROOT / "scripts" / "load.py"), url, "--rate", "100", "--seconds", "600"]
        # In a session of its own: Ctrl-C is for the command that is being shown. It ends by itself if nobody ends it.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        load = Load(process)
        try:
            yield load
        finally:
            load.end()

    def tidegate(self, *arguments: str) -> int:
        """Run the program before everybody's eyes; its exit status."""
        print(f"{bold('$')} {bold('tidegate ' + ' '.join(quoted(argument) for argument in arguments))}\n", flush=True)
        try:
            process = subprocess.Popen([TIDEGATE, *arguments], cwd=self.project)
        except OSError as error:
            raise DemoFailed(f"{TIDEGATE} cannot be run: {error}; `make install` installs it") from error
        interrupted = False
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                # The program got the same Ctrl-C and puts everything back: it is waited for, never killed.
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt
        return status

    def git(self, *arguments: str) -> None:
        """Run git in the copy. Raises `DemoFailed`."""
        # Variables such as GIT_DIR would lead it to another repository.
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            result = subprocess.run(
                ["git", *arguments], cwd=self.project, env=env, capture_output=True, text=True, timeout=60, check=False
            )
        except OSError as error:
            raise DemoFailed(f"git cannot be run: {error}") from error
        if result.returncode:
            raise DemoFailed(f"`git {' '.join(arguments)}` failed:\n{result.stderr}")

    def next_steps(self) -> None:
        """Three commands that show more."""
        here = os.path.relpath(self.project)
        program = os.path.relpath(TIDEGATE, self.project)
        title(f"Try next, in {here} (cd {here})")
        table(
            [
                (f"{program} plan dev", "what the broken change would do, step by step"),
                (f"{program} logs -e prod -f", "what all instances of prod print, as it comes"),
                (f"{program} history dev", "every revision of dev, who made it and why"),
            ]
        )


class Load:
    """A load generator that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def finish(self) -> dict[str, Any]:
        """Stop it and read what it counted. Raises `DemoFailed`."""
        self._process.send_signal(signal.SIGTERM)
        try:
            output, _ = self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired as error:
            raise DemoFailed("the load does not end") from error
        if not output.strip():
            raise DemoFailed(f"the load ended with {self._process.returncode} and counted nothing")
        counted: dict[str, Any] = json.loads(output)
        return counted

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def bold(text: str) -> str:
    """Bold, where that can be seen."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def title(text: str) -> None:
    """A heading."""
    print(f"\n{bold(text)}\n", flush=True)


def table(rows: list[tuple[str, ...]]) -> None:
    """Rows with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def quoted(argument: str) -> str:
    """As it would be typed."""
    return f'"{argument}"' if " " in argument else argument


def main() -> int:
    """Exit status 0 if all went as it should, else 1."""
    parser = argparse.ArgumentParser(description="Show Tidegate on the example, or end what the demo left running.")
    parser.add_argument("--stop", action="store_true", help="end what runs and remove it")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where (default .demo)")
    arguments = parser.parse_args()
    demo = Demo(arguments.folder.resolve())
    try:
        demo.stop() if arguments.stop else demo.show()
    except DemoFailed as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; what runs keeps running: `make demo-stop` ends it", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
