"""Where an environment keeps its revisions (`store`) and the bytes of its releases (`artifacts`): what can be told
without looking there. No message repeats what is written, for a URL may hold a password."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tidegate.manifest.fields import is_secret, meant, secret, text
from tidegate.manifest.reader import Node, Report, Table
from tidegate.model.pins import Value

STORES = "sqlite:///FILE, postgresql://HOST/DATABASE, or a path relative to this file"
ARTIFACTS = "s3://BUCKET/PREFIX?endpoint=URL, or a path relative to this file"
S3_KEYS = ("endpoint", "region")
BY_REFERENCE = 'Write {secret: "env:NAME"}, and set NAME to the whole URL where commands run.'
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:/ is a drive
_USER_AND_PASSWORD = re.compile(r"://[^/?#@\s:]*:[^/?#@\s]+@")
_PASSWORD_KEY = re.compile(r"[?&](?:password|sslpassword)=", re.IGNORECASE)
_Check = Callable[[SplitResult], str]  # what is wrong, "" for nothing
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def has_password(url: str) -> bool:
    """Whether a password stands in a URL as such."""
    return bool(_USER_AND_PASSWORD.search(url) or _PASSWORD_KEY.search(url))


def store(node: Node, key: str, report: Report) -> Value | None:
    """A path, a URL of SQLite or PostgreSQL, or a secret that holds one."""
    return _place(node, key, {"sqlite": _sqlite, "postgresql": _postgresql}, STORES, report)


def artifacts(node: Node, key: str, report: Report) -> Value | None:
    """A path, a URL of S3, or a secret that holds one."""
    return _place(node, key, {"s3": _s3}, ARTIFACTS, report)


def _place(node: Node, key: str, schemes: dict[str, _Check], known: str, report: Report) -> Value | None:
    if isinstance(node, Table) and is_secret(node):
        return secret(node, report)
    if isinstance(node, Table):
        report.add(node, f"{key!r} must be a text or a secret, not a table of keys", f"Write {known}.")
        return None
    written = text(node, key, report)
    if written is None:
        return None
    if has_password(written):
        report.add(node, f"a password stands in {key!r}", BY_REFERENCE)
        return None
    match = _SCHEME.match(written)
    if match is None:
        return written
    scheme = match[1].lower()
    if scheme not in schemes:
        hint = meant(scheme, schemes)
        did = f"{hint} " if hint.startswith("Did") else ""
        report.add(node, f"{key!r} cannot begin with {scheme}:", f"{did}It can be {known}.")
        return None
    try:
        wrong = schemes[scheme](urlsplit(written)) if written.startswith(f"{scheme}://") else f"it needs {scheme}://"
    except ValueError:  # brackets, ports and characters that no URL can have
        wrong = "it is no URL"
    if wrong:
        report.add(node, f"{key!r} cannot be used: {wrong}", f"It can be {known}.")
        return None
    return written


def _sqlite(url: SplitResult) -> str:
    if url.netloc:
        return "a file has no host; sqlite: takes three slashes"
    return "" if url.path.strip("/") and url.path != "/:memory:" else "it names no file"


def _postgresql(url: SplitResult) -> str:
    if url.port == 0:
        return "0 is no port"
    return "" if url.path.strip("/") else "it names no database"


def _s3(url: SplitResult) -> str:
    if "@" in url.netloc:
        return "credentials come from where commands run, not from the URL"
    if not _BUCKET.fullmatch(url.netloc):
        return "a bucket has 3 to 63 of a-z, 0-9, - and ."
    if wrong := [key for key, _ in parse_qsl(url.query, keep_blank_values=True) if key not in S3_KEYS]:
        return f"unknown key {wrong[0]!r} after the ?; it can have {' and '.join(S3_KEYS)}"
    return ""
