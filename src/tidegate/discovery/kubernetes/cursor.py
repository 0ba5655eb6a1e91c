"""One table of a Kubernetes object, and an account of what was read of it: what nobody read is said in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.errors import Problem
from tidegate.manifest.reader import Entry, Items, Node, Scalar, Table

DAY = 86_400  # seconds; no time in a manifest is longer
_PATCH = "If it is wanted, add it under kubernetes: patches: Deployment:."
_OWN = "Tidegate gives every component what it needs there."
WHY: Mapping[str, str] = {
    "initContainers": "What they do belongs into before: (once for a release) or into the image.",
    "tolerations": _PATCH,
    "affinity": _PATCH,
    "nodeSelector": _PATCH,
    "topologySpreadConstraints": "Instances are spread over nodes anyhow.",
    "priorityClassName": _PATCH,
    "imagePullSecrets": _PATCH,
    "runtimeClassName": _PATCH,
    "hostAliases": _PATCH,
    "dnsConfig": _PATCH,
    "dnsPolicy": _PATCH,
    "hostNetwork": "Instances have a network of their own.",
    "hostPID": "Instances see their own processes only.",
    "hostIPC": "Instances see their own processes only.",
    "serviceAccountName": _OWN,
    "serviceAccount": _OWN,
    "automountServiceAccountToken": "Instances get no token of the API.",
    "lifecycle": "Before it is stopped an instance loses its traffic and has drain: for what is in flight.",
    "rollingUpdate": "Tidegate starts new instances beside the old and switches all at once.",
    "tls": "Add it under kubernetes: patches: Ingress:.",
    "schedule": "Let the scheduler call `tidegate run ENV TASK`.",
    "annotations": "Add what is wanted under kubernetes: patches:.",
    "labels": "Add what is wanted under kubernetes: patches:.",
}
_HARMLESS: Mapping[str, frozenset[str]] = {
    key: frozenset(values.split())
    for key, values in {
        "restartPolicy": "Always Never OnFailure",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "enableServiceLinks": "false true",
        "automountServiceAccountToken": "false",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "hostNetwork": "false",
        "hostPID": "false",
        "hostIPC": "false",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Cluster",
        "podManagementPolicy": "OrderedReady Parallel",
        "completionMode": "NonIndexed",
        "suspend": "false",
        "paused": "false",
        "privileged": "false",
        "allowPrivilegeEscalation": "false",
        "runAsNonRoot": "true",
        "readOnlyRootFilesystem": "true",
        "stdin": "false",
        "tty": "false",
        "readOnly": "false true",
        "optional": "false",
        "immutable": "false true",
        "scheme": "HTTP",
        "initialDelaySeconds": "0",
        "successThreshold": "1",
        "minReadySeconds": "0",
        "manualSelector": "false",
    }.items()
}


@dataclass(eq=False)
class Cursor:
    """The keys of one table. `what` names the object and `path` the way to the table, in what is said to people.

    `left` is shared by all cursors of an import. Whatever is asked for counts as read; where it has another form than
    Kubernetes expects that is said, and it counts as not written.
    """

    table: Table
    file: str
    what: str
    left: list[Problem]
    path: str = ""
    _read: set[str] = field(default_factory=set)
    _inner: dict[str, list[Cursor]] = field(default_factory=dict)
    _told: bool = False

    def __contains__(self, key: str) -> bool:
        node = self._node(key)
        return node is not None and not (isinstance(node, Scalar) and node.value is None)

    def leave(self, key: str, message: str, hint: str = "") -> None:
        """Say something about a key, where it stands; the object is named before it."""
        self._read.add(key)
        entry = self.table.entries.get(key)
        self._say(entry or self.table, message, hint)

    def skip(self, *keys: str) -> None:
        """These are read elsewhere, or Tidegate does what they ask for."""
        self._read.update(keys)

    def skip_all(self) -> None:
        """All of it is told in another way."""
        self._told = True

    def text(self, key: str) -> str:
        """A value as it was written; "" if there is none."""
        node = self._take(key)
        if _empty(node):
            return ""
        if isinstance(node, Scalar):
            return node.text
        self._wrong(key, "a single value")
        return ""

    def number(self, key: str, most: int = DAY) -> int | None:
        """A whole number from 0 to `most`, by default seconds of a day."""
        node = self._take(key)
        if _empty(node):
            return None
        if isinstance(node, Scalar) and type(node.value) is int and 0 <= node.value <= most:
            return node.value
        self._wrong(key, f"a whole number up to {most}")
        return None

    def inner(self, key: str) -> Cursor:
        """The table under a key; one without keys if there is none."""
        node = self._take(key)
        if key in self._inner:
            return self._inner[key][0]
        if not isinstance(node, Table):
            if not _empty(node):
                self._wrong(key, "a table of keys")
            node = Table({}, self.table.line, self.table.column)
        self._inner[key] = [self._at(node, key)]
        return self._inner[key][0]

    def items(self, key: str) -> list[Cursor]:
        """The tables of a list."""
        if key not in self._inner:
            self._inner[key] = []
            for item in self._list(key):
                if isinstance(item, Table):
                    self._inner[key].append(self._at(item, key))
                else:
                    self._say(item, f"each of {self.path}{key} must be a table of keys")
        return self._inner[key]

    def words(self, key: str) -> list[str]:
        """The values of a list, as they were written."""
        found = []
        for item in self._list(key):
            if isinstance(item, Scalar):
                found.append(item.text)
            else:
                self._say(item, f"each of {self.path}{key} must be a single value")
        return found

    def pairs(self, key: str) -> dict[str, str]:
        """A table of single values, as they were written."""
        node = self._take(key)
        if not isinstance(node, Table):
            if not _empty(node):
                self._wrong(key, "a table of keys")
            return {}
        found = {}
        for name, entry in node.entries.items():
            if isinstance(entry.value, Scalar):
                found[name] = "" if entry.value.value is None else entry.value.text
            else:
                self._say(entry, f"{self.path}{key}.{name} must be a single value")
        return found

    def names(self, key: str) -> frozenset[str]:
        """The keys of a table, without a look at what they hold."""
        node = self._take(key)
        return frozenset(node.entries) if isinstance(node, Table) else frozenset()

    def rest(self) -> None:
        """Say what was not read, here and in all tables that were given out; but for what changes nothing."""
        if self._told:
            return
        for key, entry in self.table.entries.items():
            if key in self._read or _empty(entry.value):
                continue
            harmless = isinstance(entry.value, Scalar) and entry.value.text in _HARMLESS.get(key, ())
            if not harmless:
                self._say(entry, f"{self.path}{key} is not carried over", WHY.get(key, ""))
        for cursors in self._inner.values():
            for cursor in cursors:
                cursor.rest()

    def position(self, key: str) -> tuple[int, int]:
        """Line and column of a key, else of the table."""
        at = self.table.entries.get(key) or self.table
        return at.line, at.column

    def plain(self, key: str) -> Any:
        """Whatever stands there, as JSON."""
        node = self._take(key)
        return None if node is None else _plain(node)

    def _at(self, table: Table, key: str) -> Cursor:
        return Cursor(table, self.file, self.what, self.left, f"{self.path}{key}.")

    def _node(self, key: str) -> Node | None:
        entry = self.table.entries.get(key)
        return entry.value if entry else None

    def _take(self, key: str) -> Node | None:
        self._read.add(key)
        return self._node(key)

    def _list(self, key: str) -> list[Node]:
        node = self._take(key)
        if isinstance(node, Items):
            return node.items
        if not _empty(node):
            self._wrong(key, "a list")
        return []

    def _wrong(self, key: str, wanted: str) -> None:
        node = self._node(key)
        found = f"{node.text!r}" if isinstance(node, Scalar) else "a list" if isinstance(node, Items) else "a table"
        self.leave(key, f"{self.path}{key} must be {wanted}, not {found}; it is not carried over")

    def _say(self, at: Node | Entry, message: str, hint: str = "") -> None:
        self.left.append(Problem(self.file, at.line, at.column, f"{self.what}: {message}", hint))


def _empty(node: Node | None) -> bool:
    if isinstance(node, Scalar):
        return node.value is None or node.text == ""
    return node is None or not (node.items if isinstance(node, Items) else node.entries)


def _plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    return {key: _plain(entry.value) for key, entry in node.entries.items()}
