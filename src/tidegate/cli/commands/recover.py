"""`tidegate recover`."""

from __future__ import annotations

from functools import partial

import typer

from tidegate.cli import options


def recover(ctx: typer.Context, environment: options.Environment, json: options.Json = False) -> int:
    """Put an environment in order after a command vanished in the middle, or could not undo.

    What was not committed is put back, what was committed is finished. Refused while the other command still lives.
    The next `up` or `down` does the same by itself, but for changes that are unsettled: those only by hand, with this
    command, or with `resume`, `undo`, `abandon`, which let you choose the direction.

    Examples:

      tidegate recover dev

    Exit status: 0 in order, 1 not possible, 64 wrong use.
    """
    from tidegate.app.inspect import EnvironmentStatus
    from tidegate.app.settling import recover_environment
    from tidegate.cli.documents import RecoverDocument
    from tidegate.cli.settling import Names, Telling, settle

    def line(names: Names, _: EnvironmentStatus) -> str:
        return f"{environment}: {', '.join(names)} put in order." if names else f"{environment}: nothing to recover."

    return settle(ctx, environment, partial(recover_environment, by_hand=True), Telling(line, RecoverDocument, json))
