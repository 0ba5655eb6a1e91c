"""`tidegate schema`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tidegate.cli import options


class What(StrEnum):
    """What there is a schema of."""

    TIDEGATE = "tidegate"
    SERVICE = "service"
    WORKER = "worker"
    TASK = "task"
    OUTPUT = "output"


def schema(
    what: Annotated[
        What,
        typer.Argument(
            metavar="[tidegate|service|worker|task|output]", help="Of which manifest, or of what --json prints."
        ),
    ] = What.TIDEGATE,
    json: options.Json = False,  # noqa: ARG001  (a schema is JSON anyhow)
) -> int:
    """Print a JSON Schema (draft 2020-12): of the manifests for editors, of --json for programs.

    Examples:

      tidegate schema tidegate > tidegate.schema.json

      tidegate schema service > service.schema.json

      tidegate schema output

    Exit status: 0 printed, 64 wrong use.
    """
    from tidegate.cli.output import output_schema, write_json
    from tidegate.manifest.json_schema import service_schema, task_schema, tidegate_schema, worker_schema

    makers = {
        What.TIDEGATE: tidegate_schema,
        What.SERVICE: service_schema,
        What.WORKER: worker_schema,
        What.TASK: task_schema,
        What.OUTPUT: output_schema,
    }
    write_json(makers[what]())
    return 0
