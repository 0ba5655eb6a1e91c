"""Reading JSON that is exactly what it should be. Everything else raises `StoreError`.

`what` names, in the error, the thing that was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tidegate.errors import StoreError

VERSION = 1

Json = dict[str, Any]
T = TypeVar("T")


_KEYS: dict[str, frozenset[str]] = {}  # "a b c" -> {a, b, c}: split once, not once per step


def document(value: Any, what: str, keys: str, optional: str = "") -> Json:
    """As `fields`, and a `version` that this program knows."""
    version = value.get("version") if type(value) is dict else None
    if type(value) is dict and (type(version) is not int or version != VERSION):
        raise StoreError(
            f"cannot read a {what}",
            f"It is of version {version!r}; this Tidegate reads version {VERSION}.",
            hint="Use the version of Tidegate that wrote it, or a newer one.",
        )
    return fields(value, what, f"version {keys}", optional)


def fields(value: Any, what: str, keys: str, optional: str = "") -> Json:
    """An object with exactly `keys` (separated by spaces), and perhaps some of `optional`: keys that came later, and
    are written only where they say something."""
    expected = _split(keys)
    if type(value) is not dict:
        raise wrong(what, "an object", value)
    found: Json = value
    if found.keys() == expected:
        return found
    unknown, missing = sorted(found.keys() - expected - _split(optional)), sorted(expected - found.keys())
    if not unknown and not missing:
        return found
    said = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(missing)
    raise StoreError(
        f"cannot read a {what}", "; ".join(said), hint="It may have been changed, or written by a newer Tidegate."
    )


def _split(keys: str) -> frozenset[str]:
    return _KEYS.get(keys) or _KEYS.setdefault(keys, frozenset(keys.split()))


def mapping(value: Any, what: str) -> Json:
    """An object with any keys."""
    if type(value) is not dict:
        raise wrong(what, "an object", value)
    found: Json = value
    return found


def items(value: Any, what: str) -> list[Any]:
    """A list of anything."""
    if type(value) is not list:
        raise wrong(what, "a list", value)
    return value


def text(value: Any, what: str) -> str:
    """A string."""
    if type(value) is not str:
        raise wrong(what, "a string", value)
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(text(item, what) for item in items(value, what))


def number(value: Any, what: str) -> int:
    """A whole number."""
    if type(value) is not int:  # True is an int to isinstance
        raise wrong(what, "a whole number", value)
    return value


def truth(value: Any, what: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise wrong(what, "true or false", value)
    return value


def word(kinds: Callable[[Any], T], value: Any, what: str) -> T:
    """A member of an enumeration, by its value."""
    try:
        return kinds(value)
    except ValueError as error:
        raise wrong(what, "one of the known words", value) from error


def wrong(what: str, expected: str, value: Any) -> StoreError:
    """The error for a value that is not what it should be."""
    shown = repr(value)
    return StoreError(
        f"cannot read a stored {what}",
        f"It should be {expected}, not {shown if len(shown) < 60 else shown[:57] + '…'}.",
    )
