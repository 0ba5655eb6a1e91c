"""What answers of an API server mean, where the test cluster does not give them of itself."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.drivers.kubernetes.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotSignedIn,
    RefusedError,
    TryAgain,
    refusal,
)
from tidegate.drivers.kubernetes.transport import Trouble
from tidegate.errors import TargetError


def refused(code: int, message: str = "", **body: Any) -> TargetError:
    return refusal("create Pod x of shop", code, {"message": message, **body})


def test_a_quota_that_others_count_at_the_same_time_is_asked_again() -> None:
    message = 'Operation cannot be fulfilled on resourcequotas "small": the object has been modified'
    assert isinstance(refused(409, message, reason="Conflict", details={"kind": "resourcequotas"}), TryAgain)
    stale = refused(409, message, reason="Conflict", details={"kind": "pods"})
    assert isinstance(stale, ConflictError)
    assert stale.stale


def test_a_permission_for_the_whole_cluster_is_told_as_one() -> None:
    error = refused(403, 'namespaces is forbidden: User "ana" cannot list resource "namespaces" in API group "" at the '
                         "cluster scope")  # fmt: skip
    assert isinstance(error, ForbiddenError)
    assert (error.user, error.verb, error.resource, error.namespace) == ("ana", "list", "namespaces", "")
    assert "in the whole cluster" in error.detail


@pytest.mark.parametrize("code", [400, 403, 422])
def test_what_a_webhook_says_is_passed_on(code: int) -> None:
    error = refused(code, 'admission webhook "policy.example.com" denied the request: no team label')
    assert isinstance(error, RefusedError)
    assert "no team label" in error.detail


def test_who_is_not_signed_in_is_told_so() -> None:
    assert isinstance(refused(401, "Unauthorized"), NotSignedIn)


def test_an_answer_of_something_else_is_not_taken_for_more_than_it_is() -> None:
    error = refused(302)
    assert isinstance(error, InvalidError)
    assert "302" in error.detail


def test_patience_begins_with_the_first_failure_and_ends() -> None:
    trouble = Trouble(1.0)
    pauses = []
    while (pause := trouble.pause(TryAgain("x", "y"))) is not None:
        pauses.append(pause)
        if len(pauses) > 20:
            break
    assert 2 <= len(pauses) <= 6
    assert Trouble(10).pause(TryAgain("x", "y", after=11)) is None
    assert Trouble(10).pause(TryAgain("x", "y", after=5)) == 5
