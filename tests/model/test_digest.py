"""Names by content are the same for ever and everywhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model.digest import canonical, digest, digest_bytes, short

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_the_canonical_form_is_that_of_the_standard_library(value: object) -> None:
    """Sorted keys, no white space, text as it is."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        expected = plain.encode()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            canonical(value)
    else:
        assert canonical(value) == expected


def test_a_name_that_was_given_once_stays() -> None:
    """A change here would rename everything that any store holds."""
    assert canonical({"b": [1, "ü", None, True], "a": {}}) == '{"a":{},"b":[1,"ü",null,true]}'.encode()
    assert digest("pin", ["x"]) == "sha256:63923dd51388a8f5f19ea2ee8238f4f5f2afa275164c1251a71bcebabffc1fb3"
    assert short(digest("pin", ["x"])) == digest("pin", ["x"])[7:17]


def test_kinds_do_not_share_names() -> None:
    """The same bytes as settings and as a plan are two things."""
    assert digest_bytes("settings", b"{}") != digest_bytes("plan", b"{}")


def test_what_json_does_not_know_is_refused() -> None:
    """Rather than named by accident."""
    with pytest.raises(TypeError):
        canonical({"at": object()})
