"""Plans in files: `plan --out` writes them, `apply` reads them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tidegate.errors import StoreError, TidegateError
from tidegate.model.encoding import plan_from_json, plan_to_json
from tidegate.model.plan import Plan


def save(plan: Plan, file: Path) -> None:
    """Write the plan with its digest; whole or not at all."""
    content = json.dumps({"digest": plan.digest, "plan": plan_to_json(plan)}, indent=1, ensure_ascii=False)
    try:
        descriptor, staged = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(content + "\n")
            Path(staged).replace(file)
        except OSError:
            Path(staged).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TidegateError(f"cannot save the plan to {file}", error.strerror or str(error)) from error


def read(file: Path) -> Plan:
    """The plan in a file. Raises `StoreError` for anything but a whole, unchanged plan."""
    hint = "Save one with `tidegate plan ENV --out FILE`."
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TidegateError(f"cannot read {file}", error.strerror or str(error), hint=hint) from error
    except ValueError as error:
        raise StoreError(f"cannot read {file}", "It is not a saved plan.", hint=hint) from error
    if not isinstance(found, dict) or found.keys() != {"digest", "plan"}:
        raise StoreError(f"cannot read {file}", "It is not a saved plan.", hint=hint)
    plan = plan_from_json(found["plan"])
    if plan.digest != found["digest"]:
        raise StoreError(f"cannot use {file}", "The plan was changed after it was saved.", hint=hint)
    return plan
