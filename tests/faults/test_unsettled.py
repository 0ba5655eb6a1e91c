"""A change that can neither be finished nor be undone, for causes that exist: nothing new is accepted for its
components, the others go on, and when the cause is gone people choose how it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from tests.faults.projects import Project, ended, project, until
from tests.gateway.worlds import free_port
from tests.local.test_bad_surroundings import fill, small_disk

__all__ = ["project"]
SLEEPS = "exec sleep 1000\n"
EXITS = "exit 3\n"
LISTENS = f'exec {sys.executable} -I -S -m http.server --bind 127.0.0.1 "$PORT"\n'
NEVER = {"command": "false", "interval": "100ms", "start_timeout": "3s"}


def begun(project: Project, **keys: str) -> None:
    """Two workers run that have nothing to do with each other."""
    project.settings(**keys)
    project.worker("w", SLEEPS)
    project.worker("other", SLEEPS)
    project("up", "dev")


def stuck(project: Project) -> subprocess.Popen[str]:
    """An `up` in the middle: the old worker was stopped, the new one does not get healthy."""
    project.worker("w", f"# new\n{SLEEPS}", health=NEVER)
    up = project.start("up", "dev", "--only", "w")
    old = next(name for name in project.instances() if name.startswith("w-"))
    until(lambda: {name[:2] for name in project.instances()} == {"w-", "ot"} and old not in project.instances())
    return up


def check_unsettled(project: Project, because: str, component: str = "w") -> None:
    """`status` tells the steps that were done and undone; a further change of the component is refused, with the ways
    out, and another one goes on."""
    assert "unsettled" in project("status", "dev")
    found = project.dev()
    (claim,) = found["claims"]
    assert claim["components"] == [component]
    assert because in claim["unsettled"]
    assert (False, "done") in {(step["undo"], step["state"]) for step in claim["steps"]}
    project.worker("other", f"# again\n{SLEEPS}")
    before = project.releases()
    said = project("up", "dev", status=1)
    for way in ("tidegate resume dev", "tidegate undo dev", "tidegate abandon dev"):
        assert way in said
    after = project.releases()
    assert {name for name in after if after[name] != before[name]} == {"other"}


def check_settled(project: Project) -> None:
    """Nobody holds anything, and what runs is what is pinned, no process more."""
    found = project.dev()
    assert found["claims"] == []
    assert {each["state"] for each in found["components"]} == {"running"}
    known = sorted(each["name"] for one in found["components"] for each in one["instances"])
    assert sorted(project.instances()) == known


def test_the_artifact_of_the_old_release_is_gone(project: Project) -> None:
    """The new worker fails after the old one was stopped, and nobody has the old one any more. With its files back,
    `undo` goes back to it."""
    begun(project)
    old = project.releases()["w"]
    kept, aside = project.root / ".tidegate" / "artifacts" / "w", project.root.parent / "aside"
    shutil.move(kept, aside)
    project.worker("w", EXITS)
    project("up", "dev", "--only", "w", status=1)
    check_unsettled(project, "artifact")
    for release in aside.iterdir():
        shutil.move(release, kept / release.name)
    project("undo", "dev")
    check_settled(project)
    assert project.releases()["w"] == old


@pytest.mark.gateway
def test_the_port_of_the_old_release_is_taken(project: Project) -> None:
    """A service that has to have this very port fails, and meanwhile another program took it. When that is gone, and
    what the new one lacked is there, `resume` goes on to it."""
    port = free_port()
    project.worker("w", LISTENS, "service", port=port)
    project.worker("other", SLEEPS)
    project("up", "dev")
    old = project.releases()["w"]
    ready = project.root / "ready"
    late = {"interval": "100ms", "start_timeout": "2s"}
    project.worker("w", f"test -e {ready} || exec sleep 1000\n{LISTENS}", "service", port=port, health=late)
    up = project.start("up", "dev", "--only", "w")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: taken(other, port))
        other.listen()
        ended(up, 1)
        check_unsettled(project, str(port))
    ready.touch()
    project("resume", "dev")
    check_settled(project)
    assert project.releases()["w"] != old


def taken(other: socket.socket, port: int) -> bool:
    """Whether this program has the port now."""
    try:
        other.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_the_disk_is_full(project: Project) -> None:
    """The agent cannot write down what it would do, so it does nothing. With room again, `abandon` takes what is there
    for what counts, and the next `up` repairs it."""
    with small_disk(project.root.parent / "state") as disk:
        begun(project, store="../kept.db")
        up = stuck(project)
        fill(disk)
        ended(up, 1)
        (claim,) = project.dev()["claims"]
        assert "No space left on device" in claim["unsettled"]
        (disk / "filler").unlink()
        check_unsettled(project, "No space left on device")
        project("abandon", "dev", "--yes", "--because", "that disk is too small")
        assert project.dev()["claims"] == []
        assert project.json("history", "dev")["revisions"][0]["why"] == "that disk is too small"
        project.worker("w", f"# repaired\n{SLEEPS}")
        project("up", "dev")
        check_settled(project)
        project("down", "dev", "--yes")


def test_the_agent_refuses_to_start(project: Project) -> None:
    """It died in the middle, and cannot read what it wrote down. What can be known is still told; when it reads it
    again, `recover` puts everything back."""
    begun(project)
    old = project.releases()["w"]
    up = stuck(project)
    file = project.root / ".tidegate" / "agent" / "state.json"
    known = file.read_text()
    file.write_text(json.dumps({**json.loads(known), "format": 1000}))
    lock = json.loads((file.parent / "lock").read_text())
    os.kill(lock["pid"], signal.SIGKILL)
    said = ended(up, 1)
    assert "agent" in said
    assert "unsettled" in project("status", "dev", status=1)
    file.write_text(known)
    check_unsettled(project, "agent")
    project("recover", "dev")
    check_settled(project)
    assert project.releases()["w"] == old
