"""HTML that cannot be broken by what it shows: whatever is not `Html` already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is markup. Only `html` and constants of this program make it."""

    __slots__ = ()


def html(template: str, /, **values: str) -> Html:
    """Fill the `{names}` of a template. Good between tags and inside quoted attributes, not for scripts and styles."""
    safe = {name: value if isinstance(value, Html) else escape(value, quote=True) for name, value in values.items()}
    return Html(template.format_map(safe))


def joined(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("".join(parts))
