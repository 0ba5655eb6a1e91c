"""`tidegate exec`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Never

import typer

from tidegate.cli import options
from tidegate.cli.session import check_environment, in_workspace, invocation
from tidegate.errors import TidegateError, UsageError

if TYPE_CHECKING:
    from tidegate.app.workspace import Workspace
    from tidegate.ports.target import Surroundings


def exec_(
    ctx: typer.Context,
    environment: options.Environment,
    component: options.OneComponent = None,
    json: options.Json = False,
) -> int:
    """Run a command inside an environment: tidegate exec ENV [COMPONENT] -- COMMAND.

    With a COMPONENT the command runs in the folder of its running release, with exactly the environment variables that
    its instances have; where these are in a cluster it runs inside one of them, and at a terminal it gets a terminal
    too. Without one it runs here, with yours and the address of every service, and of every resource that runs there,
    as <NAME>_URL. Standard input and output are the command's own.

    Examples:

      tidegate exec dev -- sh -c 'curl $BACKEND_URL/healthz'

      tidegate exec dev backend -- python -m backend.shell

      tidegate exec dev -- sh -c 'psql $ORDERS_DB_URL'

    Exit status: that of the command; 1 it could not be run, 64 wrong use.
    """
    from tidegate.app.surroundings import elsewhere, of_component, of_environment
    from tidegate.cli.views.console import err
    from tidegate.ports import target

    command = invocation(ctx).behind_dashes
    if not command:
        raise UsageError(
            "cannot run nothing",
            "The command comes behind two dashes.",
            hint=f"Did you mean tidegate exec {environment} {_meant(invocation(ctx).folder, component)}?",
        )

    async def work(workspace: Workspace) -> Surroundings | int:
        await check_environment(workspace, environment)
        if component is not None and elsewhere(workspace, environment):
            return await _inside(workspace, environment, component, command, json=json)
        if component is not None:
            return await of_component(workspace, environment, component)
        urls = await of_environment(workspace, environment)
        if not any(name.endswith("_URL") for name in urls):
            err().print(
                f"Nothing runs in {environment}: the command gets no address. `tidegate up {environment}` starts it.",
                style="yellow",
                soft_wrap=True,
            )
        return target.Surroundings(str(invocation(ctx).folder), {**os.environ, **urls})

    where = in_workspace(ctx, work, whole=False)
    if isinstance(where, int):
        return where
    if json:
        return _captured(environment, component or "", command, where)
    return _replace(command, where)


def _meant(folder: Path, word: str | None) -> str:
    """The rest of the line: a word that names no component was meant as the command."""
    from tidegate.manifest import find_root, load

    if word is None:
        return "-- env"
    return f"{word} -- env" if word in load(find_root(folder), whole=False).components else f"-- {word}"


async def _inside(
    workspace: Workspace, environment: str, component: str, command: tuple[str, ...], *, json: bool
) -> int:
    import anyio

    from tidegate.app.surroundings import run_inside
    from tidegate.cli.documents import ExecDocument
    from tidegate.cli.output import write
    from tidegate.cli.terminal import connected, typed
    from tidegate.ports.target import Streams

    if json:
        out, err = bytearray(), bytearray()
        stdin = None if sys.stdin.isatty() else typed(0)
        status = await run_inside(workspace, environment, component, command, Streams(out.extend, err.extend, stdin))
        text = (out.decode(errors="replace"), err.decode(errors="replace"))
        write(ExecDocument(environment, component, command, status, *text))
        return status
    with anyio.CancelScope() as scope, connected(scope.cancel) as streams:
        return await run_inside(workspace, environment, component, command, streams)
    return 128 + signal.SIGTERM


def _captured(environment: str, component: str, command: tuple[str, ...], where: Surroundings) -> int:
    from tidegate.cli.documents import ExecDocument
    from tidegate.cli.output import write

    try:
        done = subprocess.run(  # noqa: PLW1510  (its status is the answer)
            command, cwd=where.folder, env=dict(where.env), capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise _cannot_run(command, error) from error
    write(ExecDocument(environment, component, command, done.returncode, done.stdout, done.stderr))
    return done.returncode


def _replace(command: tuple[str, ...], where: Surroundings) -> Never:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.chdir(Path(where.folder))
        os.execvpe(command[0], command, dict(where.env))  # noqa: S606  (the caller's own command, no shell)
    except OSError as error:
        raise _cannot_run(command, error) from error


def _cannot_run(command: tuple[str, ...], error: OSError) -> TidegateError:
    return TidegateError(f"cannot run {command[0]}", error.strerror or str(error))
