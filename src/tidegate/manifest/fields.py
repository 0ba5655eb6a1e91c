"""Typed values out of nodes: every method reports what is wrong where it stands, and then returns None or a default."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from posixpath import normpath
from typing import TypeVar

from tidegate.manifest.models import PerEnvironment
from tidegate.manifest.reader import Entry, Items, Node, Report, Scalar, Table
from tidegate.model.pins import Secret, Value

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
NAME_RULE = "A name is at most 40 of a-z, 0-9 and -, and begins with a letter."
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # of DNS: what namespaces and Services can be called
LABEL_RULE = "It is at most 63 of a-z, 0-9 and -, and begins and ends with a letter or digit."
_KEPT = re.compile(r"(?=[^/]{1,253}/)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9._-]{1,253}")
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)?")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT]?)")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_MEGABYTE = 1 << 20
_PETABYTE = 1 << 50
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, None: 1000}
_DAY = 86_400_000


def meant(word: str, known: Collection[str]) -> str:
    """The hint for a word that is not known: what was probably meant, else what there is."""
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f"Did you mean {close[0]}?"
    if not known:
        return "There are none yet."
    shown = sorted(known)
    return f"Known: {', '.join(shown[:20])}{', …' if len(shown) > 20 else '.'}"


def describe(node: Node) -> str:
    """What stands there, in the words of people."""
    if isinstance(node, Table):
        return "a table of keys"
    if isinstance(node, Items):
        return "a list"
    if node.value is None:
        return "nothing"
    shown = node.text if len(node.text) <= 40 else node.text[:39] + "…"
    return f"{shown!r}" if isinstance(node.value, str) else shown


class Fields:
    """The keys of one table; `what` names it in messages. Unknown keys are reported at once.

    `refused` are keys that exist elsewhere, each with the reason why not here.
    """

    def __init__(
        self, table: Table, keys: Collection[str], what: str, report: Report, refused: Mapping[str, str] | None = None
    ) -> None:
        self.table = table
        self.report = report
        for key, entry in table.entries.items():
            if refused and key in refused:
                report.add(entry, f"{key!r} cannot stand in {what}: {refused[key]}", "Remove it.")
            elif key not in keys:
                report.add(entry, f"unknown key {key!r} in {what}", meant(key, keys))

    def __contains__(self, key: str) -> bool:
        return key in self.table.entries

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, if it is written."""
        return self.table.entries.get(key)

    def position(self, key: str) -> tuple[int, int]:
        """Where the key stands, else where its table begins."""
        entry = self.table.entries.get(key)
        return (entry.line, entry.column) if entry else (self.table.line, self.table.column)

    def require(self, key: str, hint: str) -> None:
        """Report that the key is missing, if it is."""
        if key not in self.table.entries:
            self.report.add((self.table.line, self.table.column), f"{key!r} is missing", hint)

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        entry = self.entry(key)
        return text(entry.value, key, self.report) if entry else None

    def duration(self, key: str, default: int, *, positive: bool = False) -> int:
        """Milliseconds."""
        entry = self.entry(key)
        if entry is None:
            return default
        found = duration(entry.value, key, self.report)
        if found == 0 and positive:
            self.report.add(entry.value, f"{key!r} must be longer than 0", "Write a time such as 500ms or 10s.")
            return default
        return default if found is None else found

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`."""
        entry = self.entry(key)
        return whole(entry.value, key, low, high, self.report) if entry else None

    def flag(self, key: str) -> bool | None:
        """true or false."""
        entry = self.entry(key)
        return flag(entry.value, key, self.report) if entry else None

    def names(self, key: str, example: str, *, one: bool = False) -> list[Scalar] | None:
        """A list of texts, each once (`one`: a single text is a list of one). None: not written, or no list at all."""
        entry = self.entry(key)
        if entry is None:
            return None
        node = entry.value
        if one and isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            return [node]
        if not isinstance(node, Items):
            self.report.add(node, f"{key!r} must be a list, not {describe(node)}", f"Write {key}: {example}.")
            return None
        found: dict[str, Scalar] = {}
        for item in node.items:
            if text(item, f"each of {key}", self.report) is None or not isinstance(item, Scalar):
                continue
            if item.text in found:
                self.report.add(item, f"{item.text!r} stands twice in {key!r}", "Remove one of them.")
            found.setdefault(item.text, item)
        return list(found.values())

    def tables(self, key: str, example: str) -> Iterator[tuple[str, Entry]]:
        """The entries of a table under `key`."""
        entry = self.entry(key)
        if entry is None:
            return
        if not isinstance(entry.value, Table):
            found = describe(entry.value)
            self.report.add(entry.value, f"{key!r} must be a table of keys, not {found}", f"Write {key}: {example}.")
            return
        yield from entry.value.entries.items()


def text(node: Node, key: str, report: Report) -> str | None:
    """A text that is not empty."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        if node.value.strip() and "\0" not in node.value:
            return node.value
        report.add(node, f"{key!r} must not be empty")
        return None
    hint = "Put it in quotes." if isinstance(node, Scalar) and node.value is not None else ""
    report.add(node, f"{key!r} must be a text, not {describe(node)}", hint)
    return None


def whole(node: Node, key: str, low: int, high: int, report: Report) -> int | None:
    """A whole number from `low` to `high`."""
    value = node.value if isinstance(node, Scalar) else None
    if type(value) is not int:
        report.add(node, f"{key!r} must be a whole number, not {describe(node)}", f"Write a number like {max(low, 1)}.")
        return None
    if not low <= value <= high:
        report.add(node, f"{key!r} must be from {low} to {high}, not {value}")
        return None
    return value


def flag(node: Node, key: str, report: Report) -> bool | None:
    """true or false."""
    value = node.value if isinstance(node, Scalar) else None
    if type(value) is not bool:
        report.add(node, f"{key!r} must be true or false, not {describe(node)}", "YAML 1.2 knows only true and false.")
        return None
    return value


def duration(node: Node, key: str, report: Report) -> int | None:
    """Milliseconds; a number without a unit is in seconds."""
    match = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
    if match is None:
        found = describe(node)
        report.add(node, f"{key!r} must be a time, not {found}", "Write a whole number and ms, s, m or h, such as 10s.")
        return None
    found_ms = int(match[1]) * _UNITS[match[2]]
    if found_ms > _DAY:
        report.add(node, f"{key!r} must be at most a day, not {node.text}" if isinstance(node, Scalar) else key)
        return None
    return found_ms


def size(node: Node, key: str, report: Report) -> int | None:
    """Bytes; K, M, G and T are powers of 1024. Less than 1M is taken for a forgotten unit."""
    match = _SIZE.fullmatch(node.text) if isinstance(node, Scalar) else None
    found = round(float(match[1]) * 1024 ** _POWERS[match[2]]) if match else 0
    if match is None or ("." in match[1] and not match[2]) or found > _PETABYTE:
        hint = "Write a number and K, M, G or T, such as 2G."
        report.add(node, f"{key!r} must be a size, not {describe(node)}", hint)
        return None
    if found < _MEGABYTE:
        report.add(node, f"{key!r} must be at least 1M, not {found} bytes", "Write a size such as 512M or 2G.")
        return None
    return found


def is_secret(node: Node) -> bool:
    """Whether it is a table with the key `secret` alone."""
    return isinstance(node, Table) and set(node.entries) == {"secret"}


def secret(node: Table, report: Report, *, cluster: bool = False) -> Secret | None:
    """The reference in `{secret: …}`. What is written there is not shown: it may be the secret itself.

    `cluster`: it may also be one that the cluster keeps, where the environment is on Kubernetes.
    """
    reference = node.entries["secret"].value
    written = reference.value if isinstance(reference, Scalar) else None
    scheme, _, rest = written.partition(":") if isinstance(written, str) else ("", "", "")
    if scheme == "kubernetes" and not cluster:
        message = "what a cluster keeps can be given to components only"
        report.add(reference, message, 'Write "env:NAME" or "file:PATH".')
        return None
    if scheme == "kubernetes" and not _KEPT.fullmatch(rest):
        report.add(reference, "this is no reference to a secret of the cluster", 'Write "kubernetes:NAME/KEY".')
        return None
    if scheme not in {"env", "file", "kubernetes"} or not rest.strip() or "\0" in rest:
        report.add(reference, "this is no reference to a secret", 'Write "env:NAME" or "file:PATH".')
        return None
    return Secret(f"{scheme}:{rest}")


def value(node: Node, name: str, report: Report) -> Value | None:
    """The value of an environment variable: a text, or a reference to a secret."""
    if isinstance(node, Scalar):
        if node.value is None:
            report.add(node, f"{name!r} has no value", 'Write "" for an empty one.')
            return None
        if "\0" in node.text:
            report.add(node, f"{name!r} holds a zero byte, which no environment variable can")
            return None
        return node.text
    if isinstance(node, Table) and is_secret(node):
        return secret(node, report, cluster=True)
    hint = 'Write a text, {secret: "env:NAME"}, or one value per environment with `default:`.'
    report.add(node, f"{name!r} cannot be {describe(node)}", hint)
    return None


def one_of(node: Node, key: str, words: Collection[str], report: Report) -> Scalar | None:
    """One of some words."""
    if text(node, key, report) is None or not isinstance(node, Scalar):
        return None
    if node.text not in words:
        hint = meant(node.text, words)
        known = f"It can be {', '.join(words)}."
        report.add(node, f"{key!r} cannot be {describe(node)}", f"{hint} {known}" if hint[:3] == "Did" else known)
        return None
    return node


def per_environment(
    node: Node, key: str, read: Callable[[Node, str], T | None], environments: Collection[str] | None, report: Report
) -> PerEnvironment[T]:
    """One value, or a table with one per environment and `default`. `environments` None: they are not known."""
    if not isinstance(node, Table):
        return PerEnvironment(read(node, key))
    if not node.entries:
        report.add(node, f"{key!r} must not be empty", "Give a value, or one per environment with `default:`.")
    default: T | None = None
    values: dict[str, T] = {}
    for environment, entry in node.entries.items():
        if environment != "default" and environments is not None and environment not in environments:
            hint = meant(environment, {*environments, "default"})
            report.add(entry, f"{key!r} speaks of the unknown environment {environment!r}", hint)
            continue
        found = read(entry.value, f"{key}.{environment}")
        if found is None:
            continue
        if environment == "default":
            default = found
        else:
            values[environment] = found
    return PerEnvironment(default, values)


def reserved(name: str) -> bool:
    """Whether Tidegate itself gives the environment variable of this name to what it runs."""
    return name in {"PORT", "DATA"} or name.startswith("TIDEGATE_")


def check_variable(name: str, entry: Entry, report: Report) -> None:
    """Report a name that no environment variable can have, or that Tidegate gives itself."""
    if not VARIABLE.fullmatch(name):
        report.add(entry, f"{name!r} cannot be the name of an environment variable", "Use letters, digits and _.")
    elif reserved(name):
        message = f"{name!r} cannot be set: Tidegate sets it for what it runs"
        report.add(entry, message, "Remove it or use another name.")


def check_name(name: str, what: str, entry: Entry, report: Report) -> None:
    """Report a name that no team, environment or resource can have."""
    if not NAME.fullmatch(name):
        report.add(entry, f"{name!r} cannot be the name of {'an' if what[0] in 'eo' else 'a'} {what}", NAME_RULE)


def path(node: Scalar, key: str, folder: str, report: Report) -> str | None:
    """A path beside the manifest in `folder`, as one relative to the root; never outside of it."""
    written = node.text.replace("\\", "/")
    if written.startswith("/") or re.match(r"[A-Za-z]:/", written):
        report.add(node, f"{key!r} must be a path relative to this file, not {node.text!r}")
        return None
    joined = normpath(f"{folder}/{written}")
    if joined == ".." or joined.startswith("../"):
        report.add(node, f"{key!r} leads out of the project: {node.text!r}", "Releases are made of the checkout alone.")
        return None
    return joined


def shares(node: Node, key: str, report: Report) -> int | None:
    """A percentage, with or without its sign, in 1/10,000."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%?", node.text) if isinstance(node, Scalar) else None
    found = round(float(match[1]) * 100) if match else None
    if found is None or found > 10_000:
        report.add(
            node, f"{key!r} must be a percentage, not {describe(node)}", "Write one from 0% to 100%, such as 0.5%."
        )
        return None
    return found
