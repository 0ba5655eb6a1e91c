"""YAML into nodes that know where they stand.

The events of libyaml are read directly: that is fast, gives every node its position, and leaves scalars, duplicate
keys, nesting and aliases to rules of our own (YAML 1.2: `yes`, `no`, `on` and `off` are words, not booleans).
An aliased node is shared, never copied; it counts as often as it is used, so that reading ends soon for any document.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from tidegate.errors import Problem

MAX_DEPTH = 32  # no manifest nests deeper than six; reading one is recursive
MAX_BYTES = 1_000_000
MAX_NODES = 50_000  # ten thousand people in a thousand teams need fewer
MAX_PROBLEMS = 100  # of one file: who made more has one cause for many of them


class Scalar(NamedTuple):
    """One value: `value` by the rules of YAML 1.2, `text` as it was written. `line` and `column` start at 1."""

    value: str | int | float | bool | None
    text: str
    line: int
    column: int


class Items(NamedTuple):
    """A list."""

    items: list[Node]
    line: int
    column: int


class Entry(NamedTuple):
    """One key of a table, where the key stands, and its value."""

    value: Node
    line: int
    column: int


class Table(NamedTuple):
    """A mapping, in the order of the file. Keys are always the text that was written."""

    entries: dict[str, Entry]
    line: int
    column: int


Node = Scalar | Items | Table


class TooManyProblems(Exception):
    """A file has so many mistakes that reading it further helps nobody. The report holds the first of them."""


class Report:
    """Collects the problems of one file (its path relative to the root, with forward slashes)."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(self, at: Scalar | Items | Table | Entry | tuple[int, int], message: str, hint: str = "") -> None:
        """Note one problem at the position of a node, or at (line, column). Raises `TooManyProblems`."""
        line, column = (at.line, at.column) if isinstance(at, Scalar | Items | Table | Entry) else at
        if len(self.problems) == MAX_PROBLEMS:
            more = f"there are more than {MAX_PROBLEMS} mistakes; the rest of the file was not checked"
            self.problems.append(Problem(self.file, line, column, more, "Mend those above it first."))
            raise TooManyProblems
        self.problems.append(Problem(self.file, line, column, message, hint))


START = (1, 1)


def read(content: bytes, report: Report) -> Table | None:
    """The top-level mapping of a YAML document; None if there is none, and then `report` says why.

    Duplicate keys are reported and the first one counts.
    """
    if len(content) > MAX_BYTES:
        report.add(START, f"the file has more than {MAX_BYTES:,} bytes", "A manifest is a short text.")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        report.add((line, column), "the file is not valid UTF-8", "Save it in the encoding UTF-8.")
        return None
    try:
        node = _Composer(text, report).document()
    except _Fault as fault:
        report.add(fault.position, fault.message, fault.hint)
        return None
    except yaml.reader.ReaderError as error:
        at = text.find(chr(error.character)) if isinstance(error.character, int) else 0
        position = (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)) if at >= 0 else START
        report.add(position, "the file holds a control character", "Remove it: a manifest is plain text.")
        return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, report)
        return None
    except yaml.YAMLError as error:
        report.add(START, f"this is not YAML: {str(error).splitlines()[0]}")
        return None
    if node is None or (isinstance(node, Scalar) and node.value is None):
        report.add(START, "the file is empty", "Write at least the required keys; `tidegate init` proposes them.")
        return None
    if not isinstance(node, Table):
        found = "a list" if isinstance(node, Items) else "a single value"
        report.add(node, f"the file holds {found} where keys are expected", "Write `key: value`, one key per line.")
        return None
    return node


class _Fault(Exception):
    """A document that is YAML, and is refused."""

    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.position = (mark.line + 1, mark.column + 1)
        self.message = message
        self.hint = hint


def _report_syntax(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    position = (mark.line + 1, mark.column + 1) if mark else START
    lines = text.splitlines()
    line = lines[position[0] - 1] if position[0] <= len(lines) else ""
    if line[: position[1]].strip(" \t") == "" and "\t" in line[: position[1]]:
        report.add(position, "a tab cannot indent YAML", "Indent with spaces.")
        return
    what = " ".join(part.strip() for part in (error.context, error.problem) if part)
    hint = "Put the value in quotes if it holds `: ` or ` #`." if "mapping values are not allowed" in what else ""
    report.add(position, f"this is not YAML: {what}", hint)


class _Anchored(NamedTuple):
    """A node that aliases may repeat, how many nodes it consists of, and over how many levels."""

    node: Node
    nodes: int
    height: int


class _Composer:
    def __init__(self, text: str, report: Report) -> None:
        self._loader = yaml.CSafeLoader(text)
        self._report = report
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._deepest = 0  # within the node that is being read

    def document(self) -> Node | None:
        try:
            self._next()  # the start of the stream
            if isinstance(self._next(), yaml.StreamEndEvent):
                return None
            node = self._node(self._next(), 0)
            self._next()  # the end of the document
            after = self._next()
            if not isinstance(after, yaml.StreamEndEvent):
                raise _Fault(after.start_mark, "a second document begins here", "Keep one document per file.")
            return node
        finally:
            self._loader.dispose()

    def _next(self) -> Any:
        return self._loader.get_event()

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        anchor = event.anchor
        if kind is yaml.AliasEvent:
            if anchor not in self._anchors:
                raise _Fault(mark, f"nothing before this is marked &{anchor}", "An alias repeats a finished node.")
            known = self._anchors[anchor]
            self._count(mark, known.nodes, depth + known.height)
            return known.node
        first, outer = self._nodes, self._deepest
        self._deepest = 0
        scalar = kind is yaml.ScalarEvent
        self._count(mark, 1, depth if scalar else depth + 1)
        node: Node
        if scalar:
            plain = event.implicit[0] and event.tag is None
            node = Scalar(_resolve(event.value) if plain else event.value, event.value, line, column)
        elif kind is yaml.SequenceStartEvent:
            items = []
            while type(item := self._next()) is not yaml.SequenceEndEvent:
                items.append(self._node(item, depth + 1))
            node = Items(items, line, column)
        else:
            node = Table(self._entries(depth), line, column)
        if anchor:
            self._anchors[anchor] = _Anchored(node, self._nodes - first, self._deepest - depth)
        self._deepest = max(self._deepest, outer)
        return node

    def _count(self, mark: Any, nodes: int, deepest: int) -> None:
        self._nodes += nodes
        self._deepest = max(self._deepest, deepest)
        if self._nodes > MAX_NODES:
            raise _Fault(mark, f"the file has more than {MAX_NODES:,} values", "A manifest is a short text.")
        if deepest > MAX_DEPTH:
            raise _Fault(mark, f"this is nested more than {MAX_DEPTH} levels deep")

    def _entries(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while type(event := self._next()) is not yaml.MappingEndEvent:
            key = self._node(event, depth + 1)
            value = self._node(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                self._report.add(key, "a key is a list or a table", "Keys are single words; check for stray brackets.")
            elif key.text in entries:
                first = entries[key.text]
                self._report.add(
                    (event.start_mark.line + 1, event.start_mark.column + 1),
                    f"the key {key.text!r} stands here a second time",
                    f"The first one is at {first.line}:{first.column}; keep one of them.",
                )
            else:
                entries[key.text] = Entry(value, event.start_mark.line + 1, event.start_mark.column + 1)
        return entries


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")


def _resolve(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
