"""The program as users run it: real services, the real agent, the real gateway."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.projects import BIN, Shop, end, make, until

DEAF = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""  # never healthy, and takes its whole grace to be stopped


@pytest.fixture
def shop(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A project that is taken down in the end, whatever happened."""
    made = make(short_tmp)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield made
    if made.processes():
        subprocess.run([BIN, "down", "--all", "--yes"], cwd=made.root, env=made.env, capture_output=True, check=False)
    for left in made.processes():  # only where a test failed
        left.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What a command prints, up to the line that holds `text`."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came:\n{seen}")


def test_from_the_first_up_to_down_leaving_nothing(shop: Shop) -> None:
    """Up, change, up again; plans are saved, applied, refused when stale; all can be looked at; nothing stays."""
    first = shop.run("up", "dev", "--why", "the first")
    assert "2/2" in first.out
    assert "http://frontend.dev.localhost:" in first.out
    assert shop.answer("frontend") == "frontend 1 on backend 1"
    assert "nothing to do" in shop.run("up", "dev").out
    assert shop.json("plan", "dev", "--detailed-exitcode", "--out", "dev.plan")["saved"] is None
    assert "nothing to apply" in shop.run("plan", "dev", "--out", "dev.plan").out
    assert not (shop.root / "dev.plan").exists()

    shop.version("backend", "2")
    shop.version("frontend", "2")
    planned = shop.json("plan", "dev", "--detailed-exitcode", "--out", "dev.plan", status=2)
    (change,) = planned["plan"]["changes"]
    assert [each["component"] for each in change["components"]] == ["backend", "frontend"]
    assert planned["plan"]["unmeasured"] == 0  # those that run were measured
    applied = shop.json("apply", "dev.plan", "--why", "as planned")
    assert [each["fate"] for each in applied["environments"][0]["changes"]] == ["committed"]
    assert shop.answer("frontend") == "frontend 2 on backend 2"
    assert "stale" in shop.run("apply", "dev.plan", status=1).err

    history = shop.json("history", "dev")["revisions"]
    assert [(each["revision"], each["why"]) for each in history] == [("dev@2", "as planned"), ("dev@1", "the first")]
    releases = shop.json("releases", "backend")["releases"]
    assert [each["pinned"] for each in releases] == [["dev"], []]
    assert "backend-r2.1" in shop.run("logs", "-e", "dev", "backend", "-n", "5").out
    lines = shop.json("logs", "frontend")["lines"]
    assert {each["component"] for each in lines} == {"frontend"}

    found = shop.json("exec", "dev", "--", "sh", "-c", "echo $BACKEND_URL $TIDEGATE_ENVIRONMENT; exit 3", status=3)
    assert found["stdout"].startswith("http://127.0.0.1:")
    assert found["stdout"].endswith(" dev\n")
    inside = shop.run("exec", "dev", "frontend", "--", "sh", "-c", "echo $BACKEND_URL; ls").out
    assert "http://127.0.0.1:" in inside
    assert "main.py" in inside

    assert shop.json("release", "backend")["releases"][0]["built"] is False
    assert shop.json("prune", "--dry-run")["removed"] == []
    assert shop.json("recover", "dev")["components"] == []
    assert shop.run("down", "--all", status=64).err.count("Add --yes") == 1
    down = shop.json("down", "--all", "--yes")
    assert all(each["error"] is None for each in down["environments"])
    until("nothing is left", lambda: not shop.processes())
    assert shop.json("status")["environments"][0]["components"] == []


def test_a_release_that_fails_is_put_back_with_its_group_and_explained(shop: Shop) -> None:
    """The frontend was fine and does not go out either; the screen shows the last words of the culprit."""
    shop.run("up", "dev")
    shop.write("backend", "import sys\nprint('no table \\033[31mprices')\nsys.exit(3)\n")
    shop.version("frontend", "2")
    failed = shop.run("up", "dev", status=1)
    assert "dev: backend failed; backend, frontend were put back together." in failed.err
    assert "exited with 3" in failed.err
    assert "no table prices" in failed.err
    assert "were not affected" in failed.err
    assert "tidegate logs -e dev backend-r2" in failed.err
    assert failed.out == ""
    assert shop.answer("frontend") == "frontend 1 on backend 1"
    assert "no table" in shop.run("logs", "-e", "dev", "backend-r2").out

    document = shop.json("up", "dev", status=1)
    (change,) = document["environments"][0]["changes"]
    assert change["fate"] == "undone"
    assert change["failure"]["log"][-1].endswith("prices")
    assert shop.json("history", "dev")["revisions"][0]["revision"] == "dev@1"

    shop.version("backend", "2")
    shop.run("up", "dev")
    assert shop.answer("frontend") == "frontend 2 on backend 2"


def test_two_environments_come_up_side_by_side(shop: Shop) -> None:
    """One command, one build, two environments with entries of their own."""
    shop.run("up", "dev", "try")
    status = {each["environment"]: each for each in shop.json("status")["environments"]}
    urls = {each["url"] for found in status.values() for each in found["components"]}
    assert len(urls) == 4
    assert "cannot tell which environment" in shop.run("logs", status=64).err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_everything_is_put_back(shop: Shop, number: signal.Signals) -> None:
    """Ctrl-C while the new one starts: the old goes on answering, the exit status is 1, nothing is left to recover."""
    shop.run("up", "dev")
    shop.write("frontend", "import time\ntime.sleep(60)\n")
    up = shop.start("up", "dev")
    read_until(up, "starting frontend-r2")
    said = end(up, number)
    assert up.returncode == 1, said
    assert "putting everything back" in said
    assert "dev: stopped." in said
    assert shop.answer("frontend") == "frontend 1 on backend 1"
    (status,) = shop.json("status", "dev")["environments"]
    assert status["claims"] == []
    assert "nothing to recover" in shop.run("recover", "dev").out


def left_in_the_middle(shop: Shop) -> subprocess.Popen[str]:
    """`tidegate up dev`, which waits for a new frontend that never gets healthy."""
    shop.run("up", "dev")
    shop.write("frontend", DEAF)
    up = shop.start("up", "dev")
    read_until(up, "starting frontend-r2")
    log = shop.root / ".tidegate" / "logs" / "dev" / "frontend-r2.0.log"
    until("the new one does not listen", lambda: log.exists() and "deaf" in log.read_text())
    return up


def test_left_in_the_middle_it_is_put_in_order_without_anybody(shop: Shop) -> None:
    """The agent notices that its executor is gone, and has the change put back."""
    up = left_in_the_middle(shop)
    up.send_signal(signal.SIGINT)
    read_until(up, "retiring frontend-r2")
    assert "Left as it is. It is put back without you" in end(up, signal.SIGINT)
    assert up.returncode == 1
    until("nothing is claimed", lambda: not shop.json("status", "dev")["environments"][0]["claims"])
    assert "nothing to recover" in shop.run("recover", "dev").out
    assert shop.answer("frontend") == "frontend 1 on backend 1"


def test_left_in_the_middle_with_its_agent_the_next_command_puts_it_in_order(shop: Shop) -> None:
    """Whoever changes the environment next recovers it first, and says so."""
    up = left_in_the_middle(shop)
    agent = json.loads((shop.root / ".tidegate" / "agent" / "lock").read_text())["pid"]
    os.kill(agent, signal.SIGKILL)
    up.kill()
    end(up)
    (status,) = shop.json("status", "dev")["environments"]
    assert [claim["components"] for claim in status["claims"]] == [["frontend"]]
    shop.version("frontend", "2")
    again = shop.run("up", "dev")
    assert "dev: frontend put in order; a command had vanished in the middle." in again.err
    assert shop.answer("frontend") == "frontend 2 on backend 1"


def test_what_is_wrong_is_said_without_touching_anything(shop: Shop) -> None:
    """A typing error ends with 64, a mistake in a manifest with 1, also as JSON; no process was started."""
    assert "Did you mean dev?" in shop.run("up", "dve", status=64).err
    (shop.root / "backend" / "service.yaml").write_text("run: x\nreplica: 2\n")
    problems = shop.json("up", "dev", status=1)["error"]["problems"]
    assert [(each["file"], each["line"], each["column"]) for each in problems] == [("backend/service.yaml", 2, 1)]
    assert shop.processes() == []


WAITING = """\
import pathlib, sys, time
print("waiting", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
print("done")
"""  # runs until its file is there


@pytest.fixture
def errands(shop: Shop) -> Shop:
    """A project of a task, and of a worker with a migration, that both wait for a file."""
    shutil.rmtree(shop.root / "backend")
    shutil.rmtree(shop.root / "frontend")
    for name, kind, key in (("seed", "task", "run"), ("mailer", "worker", "before")):
        (shop.root / name).mkdir()
        shop.write(name, WAITING)
        more = "run: sleep 1000\nhealth: {interval: 100ms}\n" if kind == "worker" else ""
        manifest = f"{key}: {sys.executable} -I main.py {shop.root.parent / name}\n{more}"
        (shop.root / name / f"{kind}.yaml").write_text(manifest)
    return shop


def test_a_task_goes_on_when_its_terminal_is_left(errands: Shop) -> None:
    """Ctrl-C says so; its output and its end are there to be seen, and the environment is in order by itself."""
    errands.run("up", "dev", "--only", "seed")
    task = errands.start("run", "dev", "seed")
    read_until(task, "waiting")
    said = end(task, signal.SIGINT)
    assert task.returncode == 1
    assert "seed goes on in dev without this command." in said
    (status,) = errands.json("status", "dev")["environments"]
    assert [run["state"] for run in status["runs"]] == ["running"]
    (errands.root.parent / "seed").touch()
    assert errands.run("logs", "-f", "-e", "dev", "seed").out.split() == [
        "seed-task-2",
        "waiting",
        "seed-task-2",
        "done",
    ]

    def in_order() -> bool:
        (found,) = errands.json("status", "dev")["environments"]
        return not found["claims"] and [run["state"] for run in found["runs"]] == ["done"]

    until("the claim is given back", in_order)
    assert errands.json("run", "dev", "seed")["output"] == ["waiting", "done"]


def test_a_migration_killed_in_the_middle_waits_for_an_answer(errands: Shop) -> None:
    """`up` asks; nothing changes these components until somebody answers; then it goes on."""
    up = errands.start("up", "dev", "--only", "mailer")
    read_until(up, "running its migration")
    until("it has begun", lambda: migrations(errands))
    for process in migrations(errands):
        process.kill()
    said = end(up)
    assert up.returncode == 1
    assert "do all it should? What it printed: tidegate logs -e dev mailer-before-" in said
    assert "--ran mailer" in errands.run("up", "dev", "--only", "mailer", status=1).err
    (errands.root.parent / "mailer").touch()
    resumed = errands.json("resume", "dev", "--not-ran", "mailer")
    assert resumed["components"] == ["mailer"]
    assert [each["state"] for each in resumed["status"]["components"]] == ["running"]
    assert "destroyed" in errands.run("down", "dev", "--data", "--yes").err


def migrations(shop: Shop) -> list[psutil.Process]:
    """The processes of migrations themselves, without what waits for them."""
    found = []
    for each in shop.processes():
        with contextlib.suppress(psutil.Error):
            found += [each] * (each.cmdline()[1:3] == ["-I", "main.py"])
    return found
