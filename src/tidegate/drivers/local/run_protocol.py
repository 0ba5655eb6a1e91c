"""What client and agent say to each other about commands that run to their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tidegate.drivers.local.protocol import Json
from tidegate.model.address import RunAddress
from tidegate.model.component import RunKind


@dataclass(frozen=True, slots=True)
class RunSpec:
    """How a command is run. `folder` is absolute, `env` holds what the agent does not know better.

    `needs` are components whose entries it sees, `resources` those of the environment that it uses. `data` is the path
    of its component's data folder, "" for none; `settings` the content of its settings file, None for none. `values`
    are the secrets' values by variable name: for the socket only. Times in milliseconds.
    """

    command: str
    folder: str
    timeout: int
    grace: int
    env: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    needs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    data: str = ""
    settings: str | None = None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A resolved Run or Revert. `pin` is what it runs with, in its exact JSON; the agent only keeps it.

    `retry`: a run that was ended in the middle may simply run again. `spec` None: the caller saw that it runs already,
    and waits for it.
    """

    run: RunAddress
    pin: Json
    retry: bool
    spec: RunSpec | None


def run_to_json(run: RunAddress) -> list[Any]:
    """`["dev", "orders", RELEASE, "before", 0]`."""
    return [run.environment, run.component, run.release, run.what.value, run.turn]


def run_from_json(data: Sequence[Any]) -> RunAddress:
    """The opposite of `run_to_json`."""
    environment, component, release, what, turn = data
    return RunAddress(environment, component, release, RunKind(what), turn)


def request_to_json(request: RunRequest) -> Json:
    """Carries secret values: for the socket only."""
    return {
        "run": run_to_json(request.run),
        "pin": request.pin,
        "retry": request.retry,
        "spec": asdict(request.spec) if request.spec is not None else None,
    }


def request_from_json(data: Json) -> RunRequest:
    """The opposite of `request_to_json`."""
    spec = data["spec"]
    if spec is not None:
        spec = RunSpec(**{**spec, "needs": tuple(spec["needs"]), "resources": tuple(spec["resources"])})
    return RunRequest(run_from_json(data["run"]), data["pin"], data["retry"], spec)
