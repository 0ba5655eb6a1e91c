"""The real command line: commands that are killed and nobody looks after, and teams that change one environment at the
same moment."""

from __future__ import annotations

import re

from tests.faults.projects import Project, ended, project, until

__all__ = ["project"]
SLEEPS = "exec sleep 1000\n"


def test_what_a_killed_command_left_is_settled_without_another_command(project: Project) -> None:
    """The agent sees to it: back before the commit, on to the end after it."""
    project.worker("w", SLEEPS)
    project("up", "dev")
    old = project.releases()
    health = {"command": "false", "interval": "100ms", "start_timeout": "60s"}
    project.worker("w", f"# never healthy\n{SLEEPS}", health=health)
    up = project.start("up", "dev")
    until(lambda: list(project.instances()) == ["w-r2.0"])
    up.kill()
    up.communicate()
    until(lambda: not project.claims())
    assert list(project.instances()) == ["w-r1.0"]
    assert project.releases() == old

    begun, go = project.root / "begun", project.root / "go"
    contract = f"touch {begun}; until test -e {go}; do sleep 0.05; done"
    project.worker("w", f"# with a contracting migration\n{SLEEPS}", after=contract)
    up = project.start("up", "dev")
    until(begun.exists)
    up.kill()
    up.communicate()
    go.touch()
    until(lambda: not project.claims())
    assert len(project.instances()) == 1
    assert project.releases() != old
    assert project.dev()["claims"] == []
    assert "nothing to recover" in project("recover", "dev")


def two_teams(project: Project) -> tuple[Project, Project]:
    """Two checkouts that have one store."""
    other = Project(project.root.with_name("other"), project.began)
    other.root.mkdir()
    for each in (project, other):
        each.settings(store="../kept.db")
    return project, other


def test_two_teams_release_at_the_same_moment_and_both_commit(project: Project) -> None:
    """Also the first time ever; in one line of revisions."""
    teams = two_teams(project)
    for version in (1, 2):
        for name, team in zip("ab", teams, strict=True):
            team.worker(name, f"# {version}\n{SLEEPS}")
        for up in [team.start("up", "dev") for team in teams]:
            ended(up)
    history = project.json("history", "dev")["revisions"]
    assert len(history) == 4
    assert [each["parent"] for each in history] == [*(older["revision"] for older in history[1:]), ""]
    assert {each["state"] for each in project.dev()["components"]} == {"running"}
    assert len(project.instances()) == 2


def test_of_two_teams_that_change_the_same_component_one_is_told_who_when_and_what(project: Project) -> None:
    """And the other one goes on as if nothing had been."""
    here, there = two_teams(project)
    go = project.root / "go"
    health = {"command": f"test -e {go}", "interval": "100ms", "start_timeout": "60s"}
    here.worker("w", SLEEPS, health=health)
    there.worker("w", f"# other\n{SLEEPS}")
    up = here.start("up", "dev")
    until(project.instances)
    said = there("up", "dev", status=1)
    assert re.search(rf"w: being changed since\s+20\d\d-.*by\s+process {up.pid}\s+on", said, re.DOTALL), said
    go.touch()
    ended(up)
    assert [each["state"] for each in here.dev()["components"]] == ["running"]
