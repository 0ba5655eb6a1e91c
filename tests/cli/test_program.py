"""The program as a whole: it answers at once, teaches, and never shows a traceback."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from rich.console import Console

from tests.cli.worlds import write_project
from tidegate.app.release import BuildMoment, BuildProgress
from tidegate.cli import main
from tidegate.cli.documents import Document
from tidegate.cli.main import PANELS, run
from tidegate.cli.output import output_schema
from tidegate.cli.plan_file import read, save
from tidegate.cli.views.console import clean
from tidegate.cli.views.progress import ProgressView
from tidegate.errors import StoreError
from tidegate.model.plan import Plan

BIN = Path(sys.executable).parent / "tidegate"
COMMANDS = [name for functions in PANELS.values() for name in functions]
SLOW = {"sqlalchemy", "pydantic", "httpx", "psutil", "yaml", "starlette", "uvicorn", "anyio", "asyncio"}

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was never brought up, as the current folder."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, capsys: Capture) -> None:
    """Every command says what it does, shows examples and names its exit statuses."""
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"tidegate {command}" in text
    assert "Exit status:" in text
    assert "--json" in text


def test_help_fills_the_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines end where the terminal does, not where those of the source end; examples stand one below the other."""
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["up", "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any("switches all of it at once, watches it for a while" in line for line in lines)
    first = lines.index("Examples:") + 2
    assert all(line.startswith("tidegate up") for line in lines[first : first + 3])


def test_help_groups_the_commands(capsys: Capture) -> None:
    """Without arguments the program shows what there is, in the order it is needed."""
    assert run([]) == 0
    text = capsys.readouterr().out
    places = [text.index(panel) for panel in ("Begin", "Change", "Look", "Releases")]
    assert places == sorted(places)
    assert all(command in text for command in COMMANDS)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tidegate ")


def test_help_loads_nothing_that_is_slow() -> None:
    """`--help` and completion answer at once: the libraries that commands work with are not imported for them."""
    code = "import sys, tidegate.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not SLOW.intersection(loaded)


def test_environments_and_components_complete_from_the_manifests(project: Path) -> None:
    """The shell offers what tidegate.yaml and service.yaml say, and nothing where they cannot be read."""

    def offered(words: str) -> list[str]:
        env = {**os.environ, "_TIDEGATE_COMPLETE": "complete_bash", "COMP_WORDS": words}
        env["COMP_CWORD"] = str(len(words.split(" ")) - 1)
        return subprocess.run([BIN], env=env, cwd=project, capture_output=True, text=True, check=False).stdout.split()

    assert offered("tidegate up ") == ["dev", "stage"]
    assert offered("tidegate release fr") == ["frontend"]
    (project / "tidegate.yaml").write_text("{")
    assert offered("tidegate up ") == []


def test_every_document_is_in_the_schema() -> None:
    """`tidegate schema output` is a valid JSON Schema, and each document is named and numbered."""
    schema = output_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    names = [document.__name__ for document in get_args(Document)]
    assert set(names) <= schema["$defs"].keys()
    marks = [schema["$defs"][name]["properties"]["schema"]["const"] for name in names]
    assert len(set(marks)) == len(marks)
    assert {f"tidegate/{command}/1" for command in COMMANDS if command != "schema"} <= set(marks)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("check", 0),
        ("plan dev", 0),
        ("plan nowhere", 64),
        ("up dev --dry-run", 0),
        ("status", 0),
        ("history dev", 0),
        ("releases", 0),
        ("release", 0),
        ("prune", 0),
        ("recover dev", 0),
        ("resume dev", 64),
        ("undo dev", 64),
        ("abandon dev --because lost --yes", 64),
        ("run dev seed", 64),
        ("down --all --yes", 0),
        ("init --dry-run", 0),
        ("logs", 64),
        ("logs -f", 64),
        ("exec dev", 64),
        ("apply missing.plan", 1),
        ("frobnicate", 64),
    ],
)
def test_json_is_one_document_of_the_schema(project: Path, capsys: Capture, command: str, status: int) -> None:
    """Whatever happens: one document on standard output, and the exit status stays."""
    assert run([*command.split(), "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, output_schema())
    assert found["schema"] == (f"tidegate/{command.partition(' ')[0]}/1" if status == 0 else "tidegate/error/1")
    assert next(iter(found)) == "schema"
    assert not (project / "a.plan").exists()


@pytest.mark.parametrize("what", ["tidegate", "service", "worker", "task", "output"])
def test_schemas_are_printed(what: str, capsys: Capture) -> None:
    """For editors and for programs, of draft 2020-12."""
    assert run(["schema", what]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_a_mistake_of_ours_is_kept_in_a_file(project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user gets a traceback; it lies below .tidegate/logs."""

    def broken(_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(main, "application", broken)
    assert run(["status"]) == 1
    text = capsys.readouterr().err
    assert "cannot go on: ZeroDivisionError: of ours" in text
    assert "Traceback" not in text
    (log,) = (project / ".tidegate" / "logs").glob("crash-*.log")
    assert "Traceback" in log.read_text()


def test_a_reader_that_goes_away_is_no_mistake(project: Path) -> None:
    """`tidegate … | head -1` says nothing on standard error."""
    command = f"{BIN} schema output | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.parametrize(("typed", "written"), [("n\n", False), ("\n", False), ("\x03", False), ("y\n", True)])
def test_init_asks_in_a_terminal(tmp_path: Path, typed: str, written: bool) -> None:
    """It shows what it would write; without a yes, or on Ctrl-C, nothing is written."""
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    text, status = in_terminal(["init"], tmp_path, "[y/N]", typed)
    assert "python3 -m http.server" in text
    assert status == (0 if written else 1)
    assert (tmp_path / "tidegate.yaml").exists() == written


def test_what_users_and_programs_write_cannot_command_the_terminal() -> None:
    """Escape sequences, control characters and changes of direction are taken out; text of any language stays."""
    assert (
        clean("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \x9b2Jbell\x07 a\tb\nc")
        == "red link 2Jbell a\tb\nc"
    )
    assert clean("evil\u202egnp.exe") == "evilgnp.exe"
    assert clean("Grüße, 価格 → 5 €, [bold]") == "Grüße, 価格 → 5 €, [bold]"


def test_a_terminal_has_one_live_line_for_each_component() -> None:
    """Two builds side by side: two lines, each with the last that its build printed; gone in the end."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    with ProgressView(screen) as view:
        for name in ("backend", "frontend"):
            view.build(BuildProgress(name, BuildMoment.BEGUN))
        for number in range(3):
            view.build(BuildProgress("backend", BuildMoment.LINE, f"\x1b[1mcompiling {number}"))
        with screen.capture() as shown:
            screen.print(view.render())
    lines = shown.get().splitlines()
    assert len(lines) == 2
    assert "compiling 2" in lines[0]
    assert "compiling 1" not in lines[0]


def test_a_saved_plan_that_was_changed_is_refused(tmp_path: Path) -> None:
    """What is applied is what was saved."""
    file = tmp_path / "dev.plan"
    save(Plan("dev", 0, digest="sha256:0"), file)
    with pytest.raises(StoreError, match="cannot use"):
        read(file)
    file.write_text("[]")
    with pytest.raises(StoreError, match="cannot read"):
        read(file)


def in_terminal(arguments: list[str], folder: Path, question: str, typed: str) -> tuple[str, int]:
    """Run the program in a terminal, type when it asks; what it showed, and its exit status."""
    terminal, other = pty.openpty()
    own = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", own, str(BIN), *arguments],
        cwd=folder,
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    ) as process:
        os.close(other)
        shown = ""
        for chunk in _read(terminal):
            shown += chunk
            if question in shown and (typed or not chunk):
                # Python may miss a Ctrl-C that comes right before it begins to wait; people press it again.
                os.write(terminal, (typed or "\x03").encode())
                typed = ""
        os.close(terminal)
    return shown, process.returncode


def _read(terminal: int) -> Iterator[str]:
    """What is shown as it comes; "" when there is nothing new for a while."""
    while True:
        if not select.select([terminal], [], [], 1.0)[0]:
            yield ""
            continue
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            return
        if not chunk:
            return
        yield chunk.decode(errors="replace")
