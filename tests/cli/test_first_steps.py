"""What newcomers met in their first hour, and should not meet again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.worlds import write_project
from tidegate.cli.main import PANELS, run

Capture = pytest.CaptureFixture[str]
COMMANDS = [name for functions in PANELS.values() for name in functions]


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one service in its root, as the current folder."""
    (tmp_path / "tidegate.yaml").write_text("organization: acme\nenvironments: {dev: {}}\n")
    (tmp_path / "service.yaml").write_text("name: one\nrun: python3 main.py\n")
    (tmp_path / "main.py").write_text("print('one')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_saved_plan_does_not_become_a_source(lone: Path, capsys: Capture) -> None:
    """In `.tidegate` or ignored it changes no release; among the sources it is refused, and told where to go."""

    def planned(*more: str) -> str:
        capsys.readouterr()
        assert run(["plan", "dev", "--json", *more]) == 0
        return json.dumps(json.loads(capsys.readouterr().out)["plan"]["changes"][0]["components"])

    before = planned()
    assert run(["plan", "dev", "--out", "dev.plan"]) == 64
    refused = capsys.readouterr().err
    assert "one of the sources of one" in refused
    assert "Write it to .tidegate/dev.plan, or name it in .gitignore." in refused
    assert not (lone / "dev.plan").exists()
    assert planned("--out", ".tidegate/dev.plan") == before == planned()
    (lone / ".gitignore").write_text("*.plan\n")
    before = planned()
    assert planned("--out", "dev.plan") == before == planned()


def test_the_place_of_a_plan_is_told_from_where_one_is(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of a service the hint leads up to the project's own folder."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path / "backend")
    assert run(["plan", "dev", "--out", "dev.plan"]) == 64
    assert "Write it to ../.tidegate/dev.plan" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_types_of_python(command: str, capsys: Capture) -> None:
    """Metavars as in other programs: ENV, [ENV…], N, TEXT; flags have none."""
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert not [noise for noise in ("<bool>", "<str>", "<list", "<int", "{ENV", "]...", "[[") if noise in text]


def test_down_does_not_promise_what_it_refuses(capsys: Capture) -> None:
    """Plain `down` takes nothing down; its help does not say "all by default"."""
    assert run(["down", "--help"]) == 0
    assert "all by default" not in capsys.readouterr().out
    assert run(["down"]) == 64
    assert "tidegate down --all" in capsys.readouterr().err


def test_a_project_without_components_is_told_what_comes_next(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`init` and `check` say so, `plan` and `up` do not pretend that there is nothing to do."""
    monkeypatch.chdir(tmp_path)
    assert run(["init", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "there is no component yet; write a service.yaml" in said
    assert "tidegate up dev" not in said
    assert run(["check"]) == 0
    assert "there is no component yet; write a service.yaml" in capsys.readouterr().out
    for command in ("plan", "up"):
        assert run([command, "dev"]) == 1
        said = capsys.readouterr().err
        assert "There is no component yet" in said
        assert "Hint: Write a service.yaml" in said


def test_exec_says_what_was_meant_and_when_nothing_runs(
    lone: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten `--` is answered with the command that was typed; no address is no silence."""
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["exec", "dev", "ls"]) == 64
    assert "Did you mean tidegate exec dev -- ls?" in capfd.readouterr().err
    assert run(["exec", "dev", "one"]) == 64
    assert "Did you mean tidegate exec dev one -- env?" in capfd.readouterr().err
    tidegate = Path(sys.executable).parent / "tidegate"
    done = subprocess.run([tidegate, "exec", "dev", "--", "true"], cwd=lone, capture_output=True, text=True, check=True)
    assert "Nothing runs in dev" in done.stderr
    assert done.stdout == ""
    assert run(["exec", "dev", "--", "no-such-program"]) == 1
    assert "cannot run no-such-program" in capfd.readouterr().err
