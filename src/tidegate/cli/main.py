"""The program `tidegate`: its commands, and what becomes of everything that goes wrong."""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate import __version__
from tidegate.cli.commands.abandon import abandon
from tidegate.cli.commands.apply import apply
from tidegate.cli.commands.check import check
from tidegate.cli.commands.down import down
from tidegate.cli.commands.exec import exec_
from tidegate.cli.commands.history import history
from tidegate.cli.commands.import_ import import_
from tidegate.cli.commands.init import init
from tidegate.cli.commands.logs import logs
from tidegate.cli.commands.plan import plan
from tidegate.cli.commands.prune import prune
from tidegate.cli.commands.rbac import rbac
from tidegate.cli.commands.recover import recover
from tidegate.cli.commands.release import release
from tidegate.cli.commands.releases import releases
from tidegate.cli.commands.render import render
from tidegate.cli.commands.resume import resume
from tidegate.cli.commands.run import run as run_
from tidegate.cli.commands.schema import schema
from tidegate.cli.commands.status import status
from tidegate.cli.commands.undo import undo
from tidegate.cli.commands.up import up
from tidegate.cli.plain_help import PlainCommand, PlainGroup
from tidegate.cli.session import Invocation
from tidegate.errors import TidegateError, UsageError

FAILED = 1
WRONG_USE = 64
_INTERRUPTED = 130  # what Typer makes of Ctrl-C

PANELS: dict[str, dict[str, Callable[..., int]]] = {
    "Begin": {"init": init, "import": import_, "check": check, "schema": schema},
    "Change": {
        "plan": plan,
        "up": up,
        "apply": apply,
        "run": run_,
        "recover": recover,
        "resume": resume,
        "undo": undo,
        "abandon": abandon,
        "down": down,
    },
    "Look": {"status": status, "history": history, "logs": logs, "exec": exec_, "render": render, "rbac": rbac},
    "Releases": {"release": release, "releases": releases, "prune": prune},
}


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tidegate {__version__}\n")
        raise typer.Exit


def application(behind_dashes: tuple[str, ...] | None) -> typer.Typer:
    """The commands, by the groups that `tidegate --help` shows."""
    app = typer.Typer(name="tidegate", rich_markup_mode="rich", invoke_without_command=True, cls=PlainGroup)

    @app.callback()
    def tidegate(
        ctx: typer.Context,
        folder: Annotated[
            Path, typer.Option("-C", metavar="DIR", help="Work as if started in this folder.", show_default=False)
        ] = Path(),
        version: Annotated[  # noqa: ARG001  (its callback acts)
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Bring up environments, release connected components together, switch and undo them as one.

        Start with `tidegate init` in your project, then `tidegate up dev`.

        Exit status of every command: 0 it worked, 1 it did not, 64 wrong use.
        """
        if not folder.is_dir():
            raise UsageError(f"cannot work in {folder}", "There is no such folder.")
        ctx.obj = Invocation(folder.absolute(), behind_dashes)
        if ctx.invoked_subcommand is None:
            sys.stdout.write(ctx.get_help() + "\n")

    for panel, functions in PANELS.items():
        for name, function in functions.items():
            text = _flowing(function.__doc__ or "")
            app.command(name, cls=PlainCommand, help=text, rich_help_panel=panel)(function)
    return app


def _flowing(text: str) -> str:
    """Help without the line ends of the source, so that any width is filled; examples stay one per line."""
    flowing = ""
    for part in inspect.cleandoc(text).split("\n\n"):
        example = part.startswith("  ")
        between = "\n" if example and flowing.splitlines()[-1].startswith("  ") else "\n\n"
        flowing += (between if flowing else "") + (part if example else part.replace("\n", " "))
    return flowing


def main() -> None:
    """The entry point: runs the command line of this process and exits with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit status. Nothing is raised."""
    own, behind = _split(arguments)
    as_json = "--json" in own
    try:
        status = typer.main.get_command(application(behind)).main(own, prog_name="tidegate", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _quiet()
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except SystemExit as leaving:  # shell completion, and a reader that went away
        return leaving.code if isinstance(leaving.code, int) else FAILED
    except BaseException as error:  # whatever it is, no user gets a traceback
        return _failed(error, as_json=as_json)
    if status == _INTERRUPTED:
        return _interrupted()
    return status if isinstance(status, int) else 0


def _split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Arguments before and behind the first `--`; what is behind belongs to another program."""
    if "--" not in arguments:
        return list(arguments), None
    place = list(arguments).index("--")
    return list(arguments[:place]), tuple(arguments[place + 1 :])


def _interrupted() -> int:
    sys.stderr.write("Stopped.\n")
    return FAILED


def _quiet() -> int:
    """The reader of our output went away: nothing to say, and nobody to say it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _failed(error: BaseException, *, as_json: bool) -> int:
    known = _known(error)
    if not known:
        known = [_crash(error)]
    if as_json:
        from tidegate.cli.documents import ErrorDocument
        from tidegate.cli.output import error_object, write

        write(ErrorDocument(error_object(known[0])))
    else:
        from tidegate.cli.views.console import err
        from tidegate.cli.views.errors import show_error

        for each in known:
            show_error(err(), each)
    return WRONG_USE if all(isinstance(each, UsageError) for each in known) else FAILED


def _known(error: BaseException) -> list[TidegateError]:
    """The errors that people can do something about; none if any of a group is of another kind."""
    if isinstance(error, TidegateError):
        return [error]
    if isinstance(error, typer.TyperException):
        return [_usage(error)]
    if isinstance(error, BaseExceptionGroup):
        found = [_known(each) for each in error.exceptions]
        return [each for inner in found for each in inner] if all(found) else []
    return []


def _usage(error: typer.TyperException) -> TidegateError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tidegate"
    return UsageError(error.format_message().rstrip("."), hint=f"`{command} --help` shows how it is used.")


def _crash(error: BaseException) -> TidegateError:
    text = "".join(traceback.format_exception(error))
    place = _crash_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        where = f"The details are in {place}."
    except OSError:
        where = text
    return TidegateError(
        f"cannot go on: {type(error).__name__}: {error}",
        f"This is a mistake in Tidegate. {where}",
        hint="Please report it with that file. `tidegate status` shows how things stand.",
    )


def _crash_file() -> Path:
    from tidegate.manifest import find_root

    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    find: Callable[[Path], Any] = find_root
    try:
        return Path(find(Path.cwd())) / ".tidegate" / "logs" / name
    except (TidegateError, OSError):
        import tempfile

        return Path(tempfile.gettempdir()) / f"tidegate-{name}"
