"""The Kubernetes objects of a folder, as they were written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.errors import ManifestError, Problem, TidegateError
from tidegate.manifest.project import SKIPPED
from tidegate.manifest.reader import Entry, Items, Node, Report, Scalar, Table, TooManyProblems, read

_SUFFIXES = (".yaml", ".yml", ".json")
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LOOKS_LIKE_ONE = re.compile(rb"""^[\s{,-]*["']?(apiVersion|kind)["']?\s*:""", re.MULTILINE)
_BEGINS = re.compile(rb"^---(?=\s|\Z)", re.MULTILINE)
_APIS = ("v1", "apps/", "batch/", "autoscaling/", "networking.k8s.io/", "extensions/")
_OF_A_SERVER = (
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "ownerReferences",
    "finalizers",
)  # fmt: skip
_ANNOTATIONS_OF_A_SERVER = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")


@dataclass(frozen=True, eq=False)
class Object:
    """One object. `body` is the whole of it; its name, namespace and what an API server adds count as read."""

    kind: str
    api: str
    name: str
    namespace: str
    body: Cursor

    @property
    def native(self) -> bool:
        """Whether its kind is what Kubernetes itself calls so."""
        return self.api.startswith(_APIS)

    @property
    def place(self) -> str:
        """`FILE:LINE`, where it begins."""
        return f"{self.body.file}:{self.body.table.line}"


@dataclass(frozen=True)
class Folder:
    """What lies in a folder. `files` are those that objects were read from, as they are shown to people.

    `left` is what people hear of, one for each thing that is not carried over; the cursors of the objects add to it.
    """

    objects: tuple[Object, ...]
    files: tuple[str, ...]
    left: list[Problem] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Object]:
        """The objects of some kinds of Kubernetes itself, in the order of the files."""
        return [each for each in self.objects if each.kind in kinds and each.native]


def read_objects(folder: Path, shown: str) -> Folder:
    """All objects in a folder and below it, or in one file; `shown` is what it is called in messages.

    Raises `ManifestError` with all files that cannot be read, `TidegateError` if there is nothing at this place.
    """
    if not folder.exists():
        raise TidegateError(
            f"cannot import {shown}", "There is no such folder.", hint="Name the folder that holds your YAML files."
        )
    left: list[Problem] = []
    problems: list[Problem] = []
    objects: dict[tuple[str, str, str], Object] = {}
    files: list[str] = []
    for file in _files(folder, shown, left):
        name = _shown(folder, file, shown)
        for found in _read(file, name, left, problems):
            if name not in files:
                files.append(name)
            key = (found.kind, found.namespace, found.name)
            if key in objects:
                message = f"{found.body.what} stands here a second time; the first one, at {objects[key].place}, counts"
                left.append(Problem(name, found.body.table.line, found.body.table.column, message))
            else:
                objects[key] = found
    if problems:
        raise ManifestError(problems)
    return Folder(tuple(objects.values()), tuple(files), left)


def _shown(folder: Path, file: Path, shown: str) -> str:
    inner = file.relative_to(folder).as_posix()
    return shown if inner == "." else inner if shown in {".", ""} else f"{shown.rstrip('/')}/{inner}"


def _files(folder: Path, shown: str, left: list[Problem]) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if name[0] != "." and name not in SKIPPED)
        here = Path(place)
        if "Chart.yaml" in names:
            inner.clear()
            name = _shown(folder, here / "Chart.yaml", shown)
            hint = "Write `helm template` into a folder and import that."
            left.append(Problem(name, 1, 1, "this Helm chart is left alone: its files are templates", hint))
            continue
        for name in sorted(names):
            if name in _KUSTOMIZATIONS:
                hint = "Where it changes something, write `kubectl kustomize` into a folder and import that."
                message = "this kustomization is not followed: the files beside it are read as they are"
                left.append(Problem(_shown(folder, here / name, shown), 1, 1, message, hint))
            elif name.endswith(_SUFFIXES):
                yield here / name


def _read(file: Path, name: str, left: list[Problem], problems: list[Problem]) -> Iterator[Object]:
    try:
        content = file.read_bytes()
    except OSError as error:
        problems.append(Problem(name, 1, 1, f"the file cannot be read: {error.strerror}"))
        return
    if not _LOOKS_LIKE_ONE.search(content):
        if file.suffix != ".json":
            left.append(Problem(name, 1, 1, "no Kubernetes object is in this file"))
        return
    for document in _documents(content):
        report = Report(name)
        table = None
        with contextlib.suppress(TooManyProblems):
            table = read(document, report)
        if report.problems and b"{{" in document:
            hint = "Templates have to be rendered first, with `helm template` for Helm."
            report.problems[0] = replace(report.problems[0], hint=hint)
        problems.extend(report.problems)
        if table is not None:
            yield from _objects(table, name, left)


def _documents(content: bytes) -> Iterator[bytes]:
    """Each document of a stream, behind as many empty lines as stand before it; none for those without content."""
    bounds = [0, *(match.start() for match in _BEGINS.finditer(content)), len(content)]
    for begin, end in pairwise(bounds):
        part = content[begin:end]
        lines = (line.removeprefix(b"---").strip() for line in part.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
        if any(line and line[:1] not in b"#%" and line != b"..." for line in lines):
            yield b"\n" * content.count(b"\n", 0, begin) + part


def _objects(table: Table, file: str, left: list[Problem]) -> Iterator[Object]:
    kind, api = _text(table.entries.get("kind")), _text(table.entries.get("apiVersion"))
    items = table.entries.get("items")
    if kind.endswith("List") and items and isinstance(items.value, Items):
        for item in items.value.items:
            if isinstance(item, Table):
                yield from _objects(item, file, left)
            else:
                left.append(Problem(file, item.line, item.column, "this is no Kubernetes object"))
        return
    if not kind or not api:
        message = "this is no Kubernetes object: it has no apiVersion and kind"
        left.append(Problem(file, table.line, table.column, message))
        return
    metadata = table.entries.get("metadata")
    names = metadata.value.entries if metadata and isinstance(metadata.value, Table) else {}
    name = _text(names.get("name"))
    body = Cursor(table, file, f"{kind} {name}" if name else kind, left)
    body.skip("apiVersion", "kind", "status")
    own = body.inner("metadata")
    own.skip("name", "namespace", *_OF_A_SERVER)
    own.inner("annotations").skip(*_ANNOTATIONS_OF_A_SERVER)
    if name:
        yield Object(kind, api, name, _text(names.get("namespace")), body)
    else:
        body.leave("metadata", "it has no name, and is not carried over", "Give it metadata: {name: …}.")


def _text(entry: Entry | None) -> str:
    node: Node | None = entry.value if entry else None
    return node.text if isinstance(node, Scalar) and node.value is not None else ""
