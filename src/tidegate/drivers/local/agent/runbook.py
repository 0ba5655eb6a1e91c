"""What is known of commands that run to their end, and the file it lies in: one per environment, beside its data,
since it outlives groups, releases, the agent and a plain `down`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tidegate.drivers.local.protocol import Json
from tidegate.drivers.local.run_protocol import run_from_json, run_to_json
from tidegate.errors import TargetError
from tidegate.model.address import RunAddress
from tidegate.model.component import RunKind
from tidegate.model.observed import RunState

FORMAT = 1
KEPT = {RunKind.BEFORE: 50, RunKind.AFTER: 50, RunKind.TASK: 20}
"""So many of each kind are known per component."""


@dataclass
class RunRecord:
    """One run: the last that is known of it. `pin` is what it ran with, in its exact JSON.

    `command` is what was started last, at `begun` (seconds since the epoch), with `pid` and `process` as an instance
    has them; it is the run's undo command if `undoing`, and then `former` is the state that its failure leads back to.
    `reason` says how it ended. What it printed begins at `offset` of the log. `timeout` and `grace` in milliseconds.
    """

    run: RunAddress
    pin: Json
    state: RunState
    command: str = ""
    undoing: bool = False
    former: RunState = RunState.DONE
    status: int | None = None
    reason: str = ""
    pid: int = 0
    process: str = ""
    begun: float = 0.0
    timeout: int = 0
    grace: int = 0
    offset: int = 0


@dataclass
class Runbook:
    """All runs of one environment, by the time they were begun."""

    file: Path
    records: dict[RunAddress, RunRecord] = field(default_factory=dict)

    def put(self, record: RunRecord) -> None:
        """The newest run; what is too many of its kind and component is forgotten."""
        self.records.pop(record.run, None)
        self.records[record.run] = record
        alike = [run for run in self.records if (run.component, run.what) == (record.run.component, record.run.what)]
        for old in alike[: -KEPT[record.run.what]]:
            del self.records[old]

    def seen(self) -> list[Json]:
        """What `observe` reports: of tasks the newest turn only."""
        newest: dict[str, int] = {}
        for run in self.records:
            newest[run.component] = max(newest.get(run.component, 0), run.turn)
        return [
            {"run": run_to_json(record.run), "pin": record.pin, "state": record.state.value, "status": record.status}
            for record in self.records.values()
            if record.run.what is not RunKind.TASK or record.run.turn == newest[record.run.component]
        ]

    def save(self) -> None:
        """Replace the file in one step. Raises OSError."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = self.file.with_suffix(".new")
        staged.touch(mode=0o600)
        staged.write_text(json.dumps({"format": FORMAT, "runs": [_to_json(each) for each in self.records.values()]}))
        staged.replace(self.file)


def load(file: Path) -> Runbook:
    """An empty one when there is no file. Raises `TargetError` when it cannot be understood."""
    try:
        data = json.loads(file.read_text())
        _check_format(data["format"])
        records = [_from_json(record) for record in data["runs"]]
    except (FileNotFoundError, NotADirectoryError):
        return Runbook(file)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TargetError(
            "cannot read what is known of runs",
            f"{file}: {error}",
            hint="Use the version of tidegate that wrote it. Without the file, migrations would run again.",
        ) from error
    return Runbook(file, {record.run: record for record in records})


def _check_format(number: int) -> None:
    if number != FORMAT:
        raise ValueError(f"it has format {number}, this version of tidegate knows {FORMAT}")


def _to_json(record: RunRecord) -> Json:
    return {**asdict(record), "run": run_to_json(record.run)}


def _from_json(data: dict[str, Any]) -> RunRecord:
    return RunRecord(
        **{
            **data,
            "run": run_from_json(data["run"]),
            "state": RunState(data["state"]),
            "former": RunState(data["former"]),
        }
    )
