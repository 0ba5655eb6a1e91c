"""Lists at any width: addresses stay whole, headings can be read, and pipes get everything."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tidegate.app.inspect import ComponentStatus, EnvironmentStatus, ReleaseLine, RevisionLine
from tidegate.cli.views.console import out
from tidegate.cli.views.outcome import Failure, show_failure
from tidegate.cli.views.tables import environment_lines, history_table, releases_table
from tidegate.errors import StepFailed
from tidegate.execution.progress import ChangeResult, Fate
from tidegate.model.plan import Change

Capture = pytest.CaptureFixture[str]
URL = "http://frontend.dev.localhost:20001"
WHY = "prices of the new season, as the shop wants them, and those of the old one where there are none yet"


def shown(width: str | None, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> list[str]:
    """status, history and releases, in a terminal of this width; None for a pipe."""
    if width:
        monkeypatch.setenv("COLUMNS", width)
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    one = ComponentStatus("frontend", "degraded", "0123456789", "", True, 3, 2, True, URL, URL, "frontend-r1")
    two = ComponentStatus("b", "running", "0123456789", "", False, 1, 1, False, "http://b", "http://b", "b-r1")
    revision = RevisionLine("dev@12", "dev@11", 0.0, "ana@acme.example", WHY)
    release = ReleaseLine("frontend", "0123456789", "", "abcdefabcd", False, "ana@acme.example", 0.0, True, ("dev",))
    for each in (*environment_lines(EnvironmentStatus("dev", "dev@12", (one, two))), history_table([revision])):
        out().print(each, soft_wrap=True)
    out().print(releases_table([release]), soft_wrap=True)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", ["60", "40", "20"])
def test_in_narrow_terminals_records_stand_one_below_the_other(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Each field has its name before it; an address is never folded, so that it can be clicked."""
    lines = shown(width, monkeypatch, capsys)
    assert "frontend" in lines
    assert "  state    degraded" in lines
    assert f"  address  {URL}" in lines
    assert "dev@12" in lines
    assert f"  why   {WHY}" in lines
    assert "  pinned in  dev" in lines
    assert not [line for line in lines if line != line.rstrip()]


def test_in_pipes_nothing_is_cut_or_padded(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """One line for each record, whatever its width, without blanks at its end."""
    lines = shown(None, monkeypatch, capsys)
    assert f"frontend   degraded  0123456789  2/3      {URL}" in lines
    assert any(line.startswith("dev@12 ") and line.endswith(WHY) for line in lines)
    assert not [line for line in lines if line != line.rstrip()]


def test_in_wide_terminals_only_sentences_are_folded(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The reason of a change goes on below its own beginning."""
    lines = shown("90", monkeypatch, capsys)
    header = next(line for line in lines if line.startswith("revision"))
    first = next(place for place, line in enumerate(lines) if line.startswith("dev@12 "))
    assert lines[first].index("prices") == header.index("why") == len(lines[first + 1]) - len(lines[first + 1].lstrip())


def test_a_watched_status_keeps_to_the_terminal() -> None:
    """`status --watch` draws over its own lines: there everything is folded instead of running on."""
    one = ComponentStatus("frontend", "running", "0123456789", "", True, 1, 1, True, URL, URL, "frontend-r1")
    screen = Console(file=io.StringIO(), force_terminal=True, width=30)
    with Live(Group(*environment_lines(EnvironmentStatus("dev", "dev@1", (one,)))), console=screen):
        pass
    written = Text.from_ansi(screen.file.getvalue()).plain.splitlines()  # type: ignore[attr-defined]
    assert max(len(line) for line in written) <= 30
    assert "".join(line.strip() for line in written).count("20001")


@pytest.mark.parametrize(("width", "whole"), [(None, True), ("80", False)])
def test_the_log_of_a_failure_is_whole_in_a_pipe(
    width: str | None, whole: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Logs of CI hold every word; on a screen earlier lines are cut, and the last never."""
    if width:
        monkeypatch.setenv("COLUMNS", width)
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    log = ["early " * 60 + "end of it", "last " * 60 + "end of all"]
    why = StepFailed("cannot start backend", "exited with 1", component="backend", log=log)
    result = ChangeResult(Change(2, (), (), "change"), Fate.UNDONE, failure=why)
    show_failure(out(), Failure("dev", "dev@1", result))
    text = capsys.readouterr().out
    assert ("end of it" in text) is whole
    assert ("…" in text) is not whole
    assert " ".join(text.split()).count("end of all") == 1
    assert not [line for line in text.splitlines() if line != line.rstrip()]
