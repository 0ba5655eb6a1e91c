"""What the API server answers when it does not do what was asked, in the words of this project.

TargetError
├── ConflictError       another manager set the field, or the object moved on (`stale`)
├── AlreadyThere        there is one of that name
├── MissingError        there is none, or no namespace for it
├── ForbiddenError      nobody gave us the permission
├── NotSignedIn         the cluster does not know who we are
├── InvalidError        the object is not one that the API takes
├── RefusedError        admission did not let it in
│   ├── QuotaError
│   └── NamespaceEnding
├── PodSilent           a program in a pod does not answer as it should
├── GoneError           the version is too old to list or watch from: begin anew
└── TemporaryError      (of `tidegate.errors`) the same may work in a moment
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.errors import TargetError, TemporaryError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason in an answer: `field` is a path such as `.spec.replicas`, `manager` who else set it."""

    field: str
    message: str
    manager: str = ""


class ConflictError(TargetError):
    """Somebody else was there. `stale`: the object is no longer what the decision rested on, so look again.

    Otherwise `causes` name the fields that other managers set.
    """

    def __init__(self, what: str, detail: str, *, causes: Sequence[Cause] = (), stale: bool = False) -> None:
        self.causes = tuple(causes)
        self.stale = stale
        managers = ", ".join(sorted({each.manager for each in causes if each.manager}))
        hint = f"Decide who sets these fields: here, or {managers}. Remove them there." if managers else ""
        super().__init__(f"cannot {what}", detail, hint=hint)


class AlreadyThere(TargetError):
    """There is an object of that name."""


class MissingError(TargetError):
    """What was to be changed, or its namespace, or the whole kind is not there."""


class ForbiddenError(TargetError):
    """`user` may not `verb` `resource` (`deployments.apps`, `pods/log`) in `namespace`, "" for the whole cluster."""

    def __init__(self, what: str, detail: str, *, verb: str, resource: str, namespace: str, user: str) -> None:
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.user = user
        super().__init__(f"cannot {what}", detail, hint="`tidegate rbac ENV` prints the permissions that are needed.")


class NotSignedIn(TargetError):
    """The cluster does not accept the credentials of the kubeconfig."""


class InvalidError(TargetError):
    """The API does not take the object; `causes` say which fields and why."""

    def __init__(self, what: str, detail: str, *, causes: Sequence[Cause] = ()) -> None:
        self.causes = tuple(causes)
        super().__init__(f"cannot {what}", detail)


class RefusedError(TargetError):
    """A rule of the cluster (pod security, a limit range, a webhook, a policy) does not let the object in."""


class QuotaError(RefusedError):
    """The namespace has no room for it."""


class NamespaceEnding(RefusedError):
    """The namespace is being removed; nothing new can be put into it."""


class PodSilent(TargetError):
    """A program in a pod does not answer, or not with success."""


class GoneError(TargetError):
    """The cluster does not remember the version that was asked for. List again."""


class TryAgain(TemporaryError):
    """The API server was not able to answer. `after`: seconds that it wants to be left alone, `patience` how long it
    makes sense to go on trying, None for as long as one would for anything else."""

    def __init__(self, what: str, detail: str, *, after: float = 0, patience: float | None = None) -> None:
        self.after = after
        self.patience = patience
        super().__init__(f"cannot {what}", detail)


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]*)"')
_BUSY = frozenset({429, 500, 502, 503, 504})
WEBHOOK_PATIENCE = 5.0  # seconds: one that does not answer seldom comes back, and its name is what helps


def refusal(what: str, code: int, body: Mapping[str, Any], *, retry_after: float = 0) -> TargetError:
    """The error for an answer with status `code`; `body` is the `Status` in it, or `{"message": text}`.

    `what` completes "cannot …". Never a value of a secret: the API server does not repeat values of those.
    """
    message = str(body.get("message", "")) or f"The API server answered {code}."
    reason = str(body.get("reason", ""))
    details = body.get("details") or {}
    causes = _causes(details)
    match code:
        case 401:
            return NotSignedIn(
                f"cannot {what}",
                "The cluster does not accept the credentials of the kubeconfig.",
                hint="They may have expired: sign in again, as for kubectl.",
            )
        case 403:
            return _forbidden(what, message, details)
        case 404:
            return MissingError(f"cannot {what}", _sentence(message))
        case 409 if reason == "AlreadyExists":
            return AlreadyThere(f"cannot {what}", _sentence(message))
        case 409 if details.get("kind") == "resourcequotas":  # counted by several at once; nothing of ours moved
            return TryAgain(what, _sentence(message))
        case 409:
            return _conflict(what, message, causes)
        case 410:
            return GoneError(f"cannot {what}", _sentence(message))
        case 500 if "failed calling webhook" in message:
            return TryAgain(what, _sentence(message), patience=WEBHOOK_PATIENCE)
        case 500 if "typed patch object" in message:
            return InvalidError(what, _sentence(message.partition("): ")[2] or message))
        case _ if code in _BUSY:
            return TryAgain(what, _sentence(message), after=retry_after)
        case _ if "denied the request" in message or "ValidatingAdmissionPolicy" in message:
            return RefusedError(f"cannot {what}", _sentence(message))
        case _:
            listed = "\n".join(f"{each.field}: {each.message}" if each.field else each.message for each in causes)
            return InvalidError(what, listed or _sentence(message), causes=causes)


def _forbidden(what: str, message: str, details: Mapping[str, Any]) -> TargetError:
    found = _FORBIDDEN.search(message)
    if found is not None:
        group, namespace, user = found["group"], found["namespace"] or "", found["user"]
        resource = f"{found['resource']}.{group}" if group else found["resource"]
        where = f"in the namespace {namespace}" if namespace else "in the whole cluster"
        detail = f"{user} lacks the permission to {found['verb']} {resource} {where}."
        return ForbiddenError(what, detail, verb=found["verb"], resource=resource, namespace=namespace, user=user)
    if "exceeded quota" in message or "failed quota" in message:
        return QuotaError(
            f"cannot {what}",
            _sentence(message),
            hint="Ask who runs the cluster for more room, or remove what is not needed any more.",
        )
    terminating = any(each.get("reason") == "NamespaceTerminating" for each in details.get("causes") or ())
    if terminating or "because it is being terminated" in message:
        return NamespaceEnding(
            f"cannot {what}", _sentence(message), hint="Wait until the namespace is gone, then do it again."
        )
    return RefusedError(f"cannot {what}", _sentence(message))


def _conflict(what: str, message: str, causes: Sequence[Cause]) -> ConflictError:
    taken = [each for each in causes if each.manager]
    if not taken:
        return ConflictError(what, "It was changed in the meantime.", stale=True)
    detail = "\n".join(f"{each.field} is set by {each.manager}." for each in taken)
    return ConflictError(what, detail or _sentence(message), causes=taken)


def _causes(details: Mapping[str, Any]) -> list[Cause]:
    found = []
    for each in details.get("causes") or ():
        message = str(each.get("message", ""))
        manager = _MANAGER.search(message) if each.get("reason") == "FieldManagerConflict" else None
        found.append(Cause(str(each.get("field", "")), message, manager["manager"] if manager else ""))
    return found


def _sentence(message: str) -> str:
    text = message.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
