"""What `--json` prints: one document per command, named and numbered by its `schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tidegate.app.explain import PlanView
from tidegate.app.inspect import EnvironmentStatus, ReleaseLine, RevisionLine
from tidegate.app.prune import Pruned


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """A `TidegateError`. `kind` is the name of its class."""

    kind: str
    summary: str
    detail: str
    hint: str
    address: str
    log: tuple[str, ...] = ()
    problems: tuple[ProblemObject, ...] = ()


@dataclass(frozen=True, slots=True)
class ProblemObject:
    """One mistake in a manifest; lines and columns start at 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """Any command that could not do its work, or was called wrongly."""

    error: ErrorObject
    schema: Literal["tidegate/error/1"] = "tidegate/error/1"


@dataclass(frozen=True, slots=True)
class ProposedFileObject:
    """A file that `init` proposes or wrote."""

    path: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class InitDocument:
    """`unknown` is what could not be inferred, and what to do about it."""

    files: tuple[ProposedFileObject, ...]
    found: tuple[str, ...]
    unknown: tuple[str, ...]
    written: bool
    schema: Literal["tidegate/init/1"] = "tidegate/init/1"


@dataclass(frozen=True, slots=True)
class UnpinnedObject:
    """An image whose digest could not be looked up, and why."""

    image: str
    why: str


@dataclass(frozen=True, slots=True)
class ImportDocument:
    """`left` is what stands in the files that were read and cannot be carried over, `unpinned` the images that no
    digest pins, `unknown` what a person has to decide."""

    files: tuple[ProposedFileObject, ...]
    found: tuple[str, ...]
    left: tuple[ProblemObject, ...]
    unpinned: tuple[UnpinnedObject, ...]
    unknown: tuple[str, ...]
    written: bool
    schema: Literal["tidegate/import/1"] = "tidegate/import/1"


@dataclass(frozen=True, slots=True)
class CheckedEnvironment:
    """An environment of tidegate.yaml and the components it has."""

    environment: str
    after: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckDocument:
    """Manifests without a problem; `notes` are no mistakes, but worth a word."""

    root: str
    organization: str
    environments: tuple[CheckedEnvironment, ...]
    components: tuple[str, ...]
    notes: tuple[ProblemObject, ...] = ()
    schema: Literal["tidegate/check/1"] = "tidegate/check/1"


@dataclass(frozen=True, slots=True)
class ReleasedObject:
    """A release of this checkout; `built` says whether it was built just now, and `seconds` how long that took."""

    component: str
    release: str
    digest: str
    commit: str
    dirty: bool
    built: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class ReleaseDocument:
    """What `release` made or found made."""

    releases: tuple[ReleasedObject, ...]
    schema: Literal["tidegate/release/1"] = "tidegate/release/1"


@dataclass(frozen=True, slots=True)
class ReleasesDocument:
    """The releases that the store knows, newest first."""

    releases: tuple[ReleaseLine, ...]
    schema: Literal["tidegate/releases/1"] = "tidegate/releases/1"


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """`saved` is the file that the plan was written to, if any."""

    plan: PlanView
    saved: str | None
    schema: Literal["tidegate/plan/1"] = "tidegate/plan/1"


@dataclass(frozen=True, slots=True)
class ChangeObject:
    """How one change ended. `fate`: committed, undone or unsettled; `put_back` says in words what undid it.

    `switched_seconds` says for how long users met releases that were put back; null if they never did.
    """

    components: tuple[str, ...]
    fate: str
    revision: str
    failure: ErrorObject | None
    put_back: tuple[str, ...]
    switched_seconds: float | None
    unfinished: ErrorObject | None


@dataclass(frozen=True, slots=True)
class EnvironmentResult:
    """What a command did to one environment. `recovered` are components that a vanished command had left.

    `status` is how it stands now; `error` why it, or a part of it, could not be changed at all. `carried_over` is the
    revision that the plan was made for, where it was applied to a newer one that does not touch it.
    `data` are components and resources whose data stay after `down`, or were destroyed if `data_destroyed` says so.
    """

    environment: str
    plan: PlanView | None = None
    recovered: tuple[str, ...] = ()
    changes: tuple[ChangeObject, ...] = ()
    status: EnvironmentStatus | None = None
    error: ErrorObject | None = None
    carried_over: str | None = None
    data: tuple[str, ...] = ()
    data_destroyed: bool = False


@dataclass(frozen=True, slots=True)
class UpDocument:
    """`applied` is false for a dry run and where nothing had to be done."""

    applied: bool
    environments: tuple[EnvironmentResult, ...]
    schema: Literal["tidegate/up/1"] = "tidegate/up/1"


@dataclass(frozen=True, slots=True)
class ApplyDocument:
    """What came of a saved plan."""

    applied: bool
    environments: tuple[EnvironmentResult, ...]
    schema: Literal["tidegate/apply/1"] = "tidegate/apply/1"


@dataclass(frozen=True, slots=True)
class DownDocument:
    """What came of bringing environments down."""

    applied: bool
    environments: tuple[EnvironmentResult, ...]
    schema: Literal["tidegate/down/1"] = "tidegate/down/1"


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """How environments stand."""

    environments: tuple[EnvironmentStatus, ...]
    schema: Literal["tidegate/status/1"] = "tidegate/status/1"


@dataclass(frozen=True, slots=True)
class HistoryDocument:
    """The revisions of an environment, newest first."""

    environment: str
    revisions: tuple[RevisionLine, ...]
    schema: Literal["tidegate/history/1"] = "tidegate/history/1"


@dataclass(frozen=True, slots=True)
class LogObject:
    """One line that an instance printed."""

    component: str
    instance: str
    text: str


@dataclass(frozen=True, slots=True)
class LogsDocument:
    """The last lines of some instances."""

    environment: str
    lines: tuple[LogObject, ...]
    schema: Literal["tidegate/logs/1"] = "tidegate/logs/1"


@dataclass(frozen=True, slots=True)
class ExecDocument:
    """A command that was run inside an environment, and what it printed."""

    environment: str
    component: str
    command: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    schema: Literal["tidegate/exec/1"] = "tidegate/exec/1"


@dataclass(frozen=True, slots=True)
class RecoverDocument:
    """The components that were put in order, none if nothing was left behind; and how the environment stands now."""

    environment: str
    components: tuple[str, ...]
    status: EnvironmentStatus
    schema: Literal["tidegate/recover/1"] = "tidegate/recover/1"


@dataclass(frozen=True, slots=True)
class ResumeDocument:
    """The components whose change went on to its end, and how the environment stands now."""

    environment: str
    components: tuple[str, ...]
    status: EnvironmentStatus
    schema: Literal["tidegate/resume/1"] = "tidegate/resume/1"


@dataclass(frozen=True, slots=True)
class UndoDocument:
    """The components whose change was undone or, where it was committed, finished; and how the environment stands."""

    environment: str
    components: tuple[str, ...]
    status: EnvironmentStatus
    schema: Literal["tidegate/undo/1"] = "tidegate/undo/1"


@dataclass(frozen=True, slots=True)
class AbandonDocument:
    """The components whose change was given up, and how the environment stands now; its revision says what is there."""

    environment: str
    components: tuple[str, ...]
    status: EnvironmentStatus
    schema: Literal["tidegate/abandon/1"] = "tidegate/abandon/1"


@dataclass(frozen=True, slots=True)
class RunDocument:
    """One run of a task. `run` is its name, `status` its exit status (null if it did not end or nobody saw it),
    `output` what it printed, `failure` why it did not get through."""

    environment: str
    task: str
    run: str
    status: int | None
    seconds: float
    output: tuple[str, ...]
    failure: ErrorObject | None
    schema: Literal["tidegate/run/1"] = "tidegate/run/1"


@dataclass(frozen=True, slots=True)
class RenderDocument:
    """The objects of an environment; with --out the names of the `files` that were written, and of those `removed`."""

    environment: str
    objects: tuple[dict[str, Any], ...]
    files: tuple[str, ...]
    removed: tuple[str, ...]
    schema: Literal["tidegate/render/1"] = "tidegate/render/1"


@dataclass(frozen=True, slots=True)
class RbacDocument:
    """The objects that give the permissions which an environment needs."""

    environment: str
    objects: tuple[dict[str, Any], ...]
    schema: Literal["tidegate/rbac/1"] = "tidegate/rbac/1"


@dataclass(frozen=True, slots=True)
class PruneDocument:
    """The artifacts that were removed or, in a dry run, would be."""

    dry_run: bool
    removed: tuple[Pruned, ...]
    schema: Literal["tidegate/prune/1"] = "tidegate/prune/1"


@dataclass(frozen=True, slots=True)
class VersionDocument:
    """The version of this program."""

    version: str
    schema: Literal["tidegate/version/1"] = "tidegate/version/1"


Document = (
    InitDocument
    | ImportDocument
    | CheckDocument
    | ReleaseDocument
    | ReleasesDocument
    | PlanDocument
    | UpDocument
    | ApplyDocument
    | DownDocument
    | StatusDocument
    | HistoryDocument
    | LogsDocument
    | ExecDocument
    | RunDocument
    | RecoverDocument
    | ResumeDocument
    | UndoDocument
    | AbandonDocument
    | RenderDocument
    | RbacDocument
    | PruneDocument
    | VersionDocument
    | ErrorDocument
)
