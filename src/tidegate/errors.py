"""The whole exception tree of Tidegate.

Every error that a user can cause or meet derives from `TidegateError`. Whether a step may be tried again is
in the type (`TemporaryError`), never in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TidegateError(Exception):
    """Something that a person has to know: what did not work, why, and what to do about it.

    `summary` is one constant-like sentence ("cannot start backend"), `detail` says why, `hint` what to do next,
    `address` the thing it is about (a file position, a component, an environment).
    """

    def __init__(self, summary: str, detail: str = "", *, hint: str = "", address: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.hint = hint
        self.address = address

    def __str__(self) -> str:
        head = f"{self.address}: {self.summary}" if self.address else self.summary
        return "\n".join(part for part in (head, self.detail, self.hint) if part)


class UsageError(TidegateError):
    """The command was called in a way that cannot work; exit status 64."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a manifest. `line` and `column` start at 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text


class ManifestError(TidegateError):
    """All mistakes found in the manifests of one run."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            f"cannot use the manifests: {count} problem{'s' if count != 1 else ''}",
            "\n".join(str(problem) for problem in self.problems),
        )


class ProjectNotFound(TidegateError):
    """No `tidegate.yaml` in this folder or above it."""


# Releases and artifacts


class ReleaseError(TidegateError):
    """A release cannot be named or made."""


class BuildFailed(ReleaseError):
    """The build command of a component failed; nothing of it is left but its log."""


class ArtifactDamaged(ReleaseError):
    """What lies in the artifact folder is not what was built there."""


class ArtifactsUnreachable(ReleaseError):
    """The place where artifacts are shared cannot be read or written. Never to be taken for "there is none"."""


# Planning


class UnsafePlan(TidegateError):
    """A guard refuses to plan this: it would destroy or break something nobody asked for."""


class RunInterrupted(UnsafePlan):
    """A command that runs to its end was ended in the middle, and may not simply be run again: somebody has to say
    what became of it."""


# Store


class StoreError(TidegateError):
    """The store cannot be read or written."""


class NotInStore(StoreError):
    """The store has no such release, revision, blob or plan."""


class ClaimRefused(StoreError):
    """Somebody else holds one of the components; the detail says who, since when and with which plan."""


class StalePlan(StoreError):
    """The environment moved on after the plan was made."""


class ClaimLost(StoreError):
    """The claim that this executor works under is no longer its own."""


# Execution


class StepFailed(TidegateError):
    """A step did not reach what it states; the change has to be undone.

    `component` is the one at fault, `log` its last lines (oldest first).
    """

    def __init__(
        self,
        summary: str,
        detail: str = "",
        *,
        component: str = "",
        instance: str = "",
        log: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        super().__init__(summary, detail, hint=hint, address=instance or component)
        self.component = component
        self.instance = instance
        self.log = tuple(log)


class OldEpoch(StepFailed):
    """The target has already seen a younger epoch for these components: this executor lost its right to act."""


# Targets


class TargetError(TidegateError):
    """The target cannot do what was asked."""


class TargetUnreachable(TargetError):
    """The target cannot be seen. Never to be taken for "nothing is there"."""


class TemporaryError(TargetError):
    """Trying the same again later may work."""


class GatewayRefused(TargetError):
    """The gateway did not accept a configuration; the former one stays in force."""


class SecretError(TidegateError):
    """A reference to a secret cannot be resolved. Carries the reference, never a value."""
