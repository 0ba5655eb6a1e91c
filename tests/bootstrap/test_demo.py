"""The first fifteen minutes: the demonstration shows what it says, twice, and leaves nothing behind."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"


class Stage:
    """A place for one demonstration, apart from everything this user has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.demo = folder / "demo"
        self.env = {
            **os.environ,
            "TIDEGATE_STATE_DIR": str(folder / "state"),
            "TIDEGATE_RUNTIME_DIR": str(folder / "run"),
            "NO_COLOR": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script; what it prints comes together, as on a screen."""
        return subprocess.run(
            [sys.executable, str(DEMO), "--folder", str(self.demo), *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )

    def processes(self) -> list[str]:
        """Command lines of all processes that have to do with it."""
        found = []
        for process in psutil.process_iter():
            try:
                lines = [*process.cmdline(), process.cwd()]
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if any(line.startswith(str(self.folder)) for line in lines):
                found.append(" ".join(lines))
        return found


@pytest.fixture
def stage() -> Iterator[Stage]:
    # A short path: the name of a Unix socket has little room.
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    place = Stage(folder)
    yield place
    place.run("--stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.gateway
def test_the_demo_shows_a_broken_release_that_nobody_notices(stage: Stage) -> None:
    """Three environments to open, a change put back with the failure explained and no failed request; the same again
    on a second run; and after `--stop` no process and no file."""
    for _ in range(2):
        shown = stage.run()
        assert shown.returncode == 0, shown.stdout
        assert re.search(r"^ *0 failed of [1-9][0-9,]* requests", shown.stdout, re.MULTILINE), shown.stdout
        assert "the catalogue does not give its compass" in shown.stdout
        addresses = re.findall(r"^ *(dev|stage|prod) +frontend +(http://\S+)", shown.stdout, re.MULTILINE)
        assert [environment for environment, _ in addresses] == ["dev", "stage", "prod"]
        for environment, address in addresses:
            assert f"//frontend.{environment}.localhost:" in address
            # Names below localhost are for browsers; programs use the number.
            page = httpx.get(re.sub(r"//[^:]+:", "//127.0.0.1:", address), trust_env=False)
            assert page.status_code == 200
            assert f"<dd>{environment}</dd>" in page.text
            assert "All products" in page.text

    stopped = stage.run("--stop")
    assert stopped.returncode == 0, stopped.stdout
    assert not stage.demo.exists()
    assert stage.processes() == []
    assert stage.run("--stop").stdout == "no demo is running\n"


def test_a_demo_that_cannot_begin_says_why(stage: Stage) -> None:
    """Without git in reach it ends with a reason and not with a traceback."""
    stage.env["PATH"] = str(stage.folder)
    shown = stage.run()
    assert shown.returncode == 1
    assert "the demo failed" in shown.stdout
    assert "git" in shown.stdout
    assert "Traceback" not in shown.stdout
    shutil.rmtree(stage.demo)
