"""A change that can neither be finished nor be undone, for causes that exist: nothing new is accepted for its
components, the others go on, and when the cause is gone people choose how it goes on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.faults.projects import Project, project, until
from tests.gateway.worlds import free_port
from tests.local.test_bad_surroundings import fill, small_disk

__all__ = ["project"]
SLEEPS = "exec sleep 1000\n"
EXITS = "exit 3\n"
NEVER_HEALTHY = {"command": "false", "interval": "100ms", "start_timeout": "2s"}


def check_unsettled(project: Project, because: str, *components: str) -> None:
    """`status` tells the steps that were done and undone; a further change of the components is refused, with the ways
    out, and another component goes on."""
    project.worker("other", f"# again\n{SLEEPS}")
    before = project.releases()
    shown = project("status", "dev")
    assert "unsettled" in shown
    (claim,) = project.dev()["claims"]
    assert tuple(claim["components"]) == components
    assert because in claim["unsettled"]
    assert (False, "done") in {(step["undo"], step["state"]) for step in claim["steps"]}
    said = project("up", "dev", status=1)
    for way in ("tidegate resume dev", "tidegate undo dev", "tidegate abandon dev"):
        assert way in said
    after = project.releases()
    assert {name for name in after if after[name] != before[name]} == {"other"}


def check_settled(project: Project, *revisions: str) -> None:
    """Nobody holds anything, everything runs, these are the newest revisions, and there is nothing to do."""
    found = project.dev()
    assert found["claims"] == []
    assert {each["state"] for each in found["components"]} == {"running"}
    line = [each["revision"] for each in project.json("history", "dev")["revisions"]]
    assert tuple(line[: len(revisions)]) == revisions
    running = project.instances()
    assert sorted(running) == sorted(each["name"] for one in found["components"] for each in one["instances"])


def test_the_artifact_of_the_old_release_is_gone(project: Project) -> None:
    """The new worker fails after the old one was stopped, and nobody has the old one any more. With its files back,
    `undo` goes back to it."""
    project.worker("w", SLEEPS)
    project.worker("other", SLEEPS)
    project("up", "dev")
    kept = project.root / ".tidegate" / "artifacts"
    project.worker("w", EXITS)
    aside = project.root.parent / "aside"
    shutil.move(kept / "w", aside)
    assert "cannot" in project("up", "dev", "--only", "w", status=1)
    check_unsettled(project, "artifact", "w")
    print(project("status", "dev"))
    for release in aside.iterdir():
        shutil.move(release, kept / "w" / release.name)
    project("undo", "dev")
    check_settled(project, "dev@5", "dev@1")
