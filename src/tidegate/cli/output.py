"""`--json`: writing documents, and the schema of all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tidegate.cli.documents import Document, ErrorObject, ProblemObject
from tidegate.errors import ManifestError, Problem, StepFailed, TidegateError


def write(document: Document) -> None:
    """One JSON document on standard output."""
    write_json(asdict(document))


def write_json(value: Any) -> None:
    """Any JSON on standard output; `schema` first, where there is one."""
    if isinstance(value, dict) and "schema" in value:
        value = {"schema": value["schema"], **value}
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def error_object(error: TidegateError) -> ErrorObject:
    """An error as data."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    return ErrorObject(
        kind=type(error).__name__,
        summary=error.summary,
        detail=error.detail,
        hint=error.hint,
        address=error.address,
        log=error.log if isinstance(error, StepFailed) else (),
        problems=problem_objects(problems),
    )


def problem_objects(problems: Sequence[Problem]) -> tuple[ProblemObject, ...]:
    """Problems of manifests as data."""
    return tuple(ProblemObject(each.file, each.line, each.column, each.message, each.hint) for each in problems)


def output_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of every document that `--json` prints."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Document).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What `tidegate --json` prints",
        **schema,
    }
