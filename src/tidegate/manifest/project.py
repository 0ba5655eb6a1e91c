"""From a folder to a `Project`: find the manifests, read them, check them, and say everything that is wrong at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from posixpath import basename, dirname
from typing import Any

from pathspec import GitIgnoreSpec

from tidegate.errors import ManifestError, Problem, ProjectNotFound
from tidegate.manifest import organization as tidegate_yaml
from tidegate.manifest.check import Assembled, assemble
from tidegate.manifest.component import FILES, read_component
from tidegate.manifest.image import beside, with_recipe
from tidegate.manifest.models import ComponentSpec, Project
from tidegate.manifest.organization import Organization, read_organization
from tidegate.manifest.reader import START, Report, TooManyProblems, read
from tidegate.manifest.target import KUBERNETES

LATER_FILES = ("module.yaml", "library.yaml")
SKIPPED = frozenset({"node_modules", "__pycache__", "venv"})  # and everything hidden
_FOREIGN = re.compile(rb"^apiVersion:", re.MULTILINE)  # Kubernetes manifests are often called service.yaml too
_NAME_LINE = re.compile(rb"^name:[ \t]*[\"']?([a-z][a-z0-9-]*)", re.MULTILINE)


def find_root(start: Path) -> Path:
    """The nearest folder with a `tidegate.yaml`, from `start` upwards. Raises `ProjectNotFound`, also where
    the path cannot be written down as text."""
    begin = start.resolve()
    try:
        str(begin).encode()
    except UnicodeEncodeError as error:
        raise ProjectNotFound(
            "cannot work in this folder",
            f"Its path is not UTF-8: {os.fsencode(begin)!r}.",
            hint="Rename the folder.",
        ) from error
    for folder in (begin, *begin.parents):
        top = folder / tidegate_yaml.FILE
        if _is_there(top) and top.is_file():
            return folder
    raise ProjectNotFound(
        "cannot find a project",
        f"There is no {tidegate_yaml.FILE} in {begin} or in a folder above it.",
        hint="Run `tidegate init` in the folder of your project, or change to one that has it.",
    )


def load(root: Path, *, whole: bool = True) -> Project:
    """Everything the manifests under `root` say.

    Raises `ManifestError` with every problem of every file, and `ProjectNotFound` if there is no `tidegate.yaml`. Where
    it need not be `whole`, only problems of `tidegate.yaml` count, and components that cannot be read are left out:
    looking at what runs, and getting out of the middle, take nothing from them.
    """
    root = root.resolve()
    top = root / tidegate_yaml.FILE
    if not (_is_there(top) and top.is_file()):
        raise ProjectNotFound(
            "cannot find a project", f"There is no {tidegate_yaml.FILE} in {root}.", hint="Run `tidegate init` there."
        )
    problems: list[Problem] = []
    organization = _read_top(top, problems)
    specs, unreadable = _read_components(root, organization, problems)
    clusters = any(one.target.kind == KUBERNETES for one in organization.specs.values())
    specs = [_with_image(root, spec, organization, clusters=clusters) for spec in specs]
    assembled = assemble(organization, specs, frozenset(unreadable))
    problems.extend(assembled.problems)
    components = _with_files(root, assembled, problems)
    if not whole:
        problems = [problem for problem in problems if problem.file == tidegate_yaml.FILE]
    if problems:
        raise ManifestError(sorted(set(problems)))
    return Project(
        root=root,
        organization=organization.name,
        teams=organization.teams or {},
        environments=assembled.environments,
        components=components,
        build_pass=organization.build_pass,
        resources={name: draft.values for name, draft in (organization.resources or {}).items()},
        store=organization.store,
        artifacts=organization.artifacts,
        notes=tuple(sorted(assembled.notes)),
    )


def _read_top(top: Path, problems: list[Problem]) -> Organization:
    report = Report(tidegate_yaml.FILE)
    content = _content(top, report)
    organization = Organization()
    with suppress(TooManyProblems):
        table = None if content is None else read(content, report)
        if table is not None:
            organization = read_organization(table, report)
    problems.extend(report.problems)
    return organization


def _read_components(
    root: Path, organization: Organization, problems: list[Problem]
) -> tuple[list[ComponentSpec], set[str]]:
    specs, unreadable = [], set()
    read_from: dict[str, str] = {}  # folder -> the manifest in it
    for place in find_manifests(root, problems):
        folder, file = dirname(place) or ".", basename(place)
        report = Report(place)
        content = _content(root / place, report)
        if content is not None and _FOREIGN.search(content):
            continue
        spec = None
        if file not in FILES:
            kind = file.removesuffix(".yaml")
            report.problems.clear()
            report.add(START, f"kind {kind} is not supported by this version", f"It knows {', '.join(FILES)}.")
        elif folder in read_from:
            hint = "A folder is one component: move one of them, and name shared folders in sources:."
            report.problems.clear()
            report.add(START, f"this folder has a {read_from[folder]} already", hint)
        else:
            read_from[folder] = file
            with suppress(TooManyProblems):
                table = None if content is None else read(content, report)
                if table is not None:
                    spec = read_component(table, FILES[file], organization, report, root.name)
        problems.extend(report.problems)
        if spec is not None:
            specs.append(spec)
        else:
            written = _NAME_LINE.search(content or b"")
            unreadable.add(written[1].decode() if written else Path(root, folder).name)
    return specs, unreadable


def _content(file: Path, report: Report) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        report.add(START, f"the file cannot be read: {error.strerror}", "Check who may read it.")
        return None


def find_manifests(root: Path, problems: list[Problem]) -> Iterator[str]:
    """The manifests of components under `root` as paths relative to it; those of one folder in the order of kinds."""
    for folder, names in walk(root, problems):
        yield from (f"{folder}{file}" for file in (*FILES, *LATER_FILES) if file in names)


def walk(root: Path, problems: list[Problem]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each folder ("" for the root, "a/b/" below it) and the names in it, in no particular order.

    Hidden folders, installed packages, what the root's `.gitignore` names, other projects and links are not entered.
    """
    ignored = _ignored(root)
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            problems.append(Problem(folder or ".", *START, f"the folder cannot be read: {error.strerror}"))
            continue
        names = frozenset(entry.name for entry in entries)
        if folder and tidegate_yaml.FILE in names:
            continue
        yield folder, names
        for entry in entries:
            if entry.name[0] == "." or entry.name in SKIPPED or not entry.is_dir(follow_symlinks=False):
                continue
            inner = f"{folder}{entry.name}/"
            if ignored is None or not ignored.match_file(inner):
                waiting.append(inner)


def _ignored(root: Path) -> GitIgnoreSpec | None:
    try:
        lines = (root / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
        return GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError):  # none there, or a pattern that git would refuse too
        return None


def _with_image(root: Path, spec: ComponentSpec, organization: Organization, *, clusters: bool) -> ComponentSpec:
    """With what the checkout says of its image. A Dockerfile says something where some environment is on Kubernetes (in
    whichever environment: a release has one name in all of them)."""
    return with_recipe(spec, organization.images, dockerfile=clusters and _is_there(root / beside(spec)))


def _with_files(root: Path, assembled: Assembled, problems: list[Problem]) -> dict[str, ComponentSpec]:
    """The components with their settings files, after everything they name in the checkout was looked at."""
    components = {}
    for name, spec in assembled.components.items():
        for source in spec.sources:
            if f"sources.{source}" in spec.positions and not _is_there(root / source):
                at = spec.position(f"sources.{source}")
                problems.append(Problem(spec.manifest, *at, f"there is no {source}", "A source is a folder or file."))
        if "image.dockerfile" in spec.positions:
            _check_dockerfile(root, spec, problems)
        components[name] = spec if spec.settings is None else _with_settings(root, spec, assembled, problems)
    return components


def _check_dockerfile(root: Path, spec: ComponentSpec, problems: list[Problem]) -> None:
    file, at = spec.image.dockerfile, spec.position("image.dockerfile")
    if file and not (_is_there(root / file) and (root / file).is_file()):
        problems.append(Problem(spec.manifest, *at, f"there is no file {file}", "A Dockerfile lies in the checkout."))
    elif file and not any(source in (".", file) or file.startswith(f"{source}/") for source in spec.sources):
        hint = "Add it to sources:, so that a change to it makes a new release."
        problems.append(Problem(spec.manifest, *at, f"{file} is none of the sources of {spec.name}", hint))


def _with_settings(root: Path, spec: ComponentSpec, assembled: Assembled, problems: list[Problem]) -> ComponentSpec:
    folder = root / (spec.settings or ".")
    at = spec.position("settings")
    if not _is_there(folder) or not folder.is_dir():
        hint = "Make it, with one file for each environment, such as dev.json; or remove settings:."
        problems.append(Problem(spec.manifest, *at, f"there is no folder {spec.settings}", hint))
        return spec
    try:
        present = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        problems.append(Problem(spec.manifest, *at, f"the folder {spec.settings} cannot be read: {error.strerror}"))
        return spec
    files: dict[str, Path] = {}
    lacking: list[str] = []
    for environment in assembled.environments.values():
        if spec.name not in environment.components:
            continue
        names = [f"{name}.json" for name in (*environment.lineage, "default")]
        chosen = next((name for name in names if name in present), None)
        if chosen is None:
            lacking.append(environment.name)
        else:
            files[environment.name] = folder / chosen
    if lacking:
        wanted = ", ".join(f"{name}.json" for name in lacking)
        message = f"settings for {', '.join(lacking)} are missing in {spec.settings}"
        problems.append(Problem(spec.manifest, *at, message, f"Add {wanted}, or default.json for all of them."))
    for file in sorted(set(files.values())):
        _check_json(file, file.relative_to(root).as_posix(), problems)
    return replace(spec, settings_files=files)


def _is_there(path: Path) -> bool:
    """Whether it can be seen; not so behind a folder that may not be entered, or with a name that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def _check_json(file: Path, name: str, problems: list[Problem]) -> None:
    report = Report(name)
    content = _content(file, report)
    if content is not None:
        try:
            found = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
            if not isinstance(found, dict):
                report.add(START, "settings must be a JSON object", "Write {…} around them.")
        except json.JSONDecodeError as error:
            report.add((error.lineno, error.colno), f"this is not JSON: {error.msg}")
        except UnicodeDecodeError:
            report.add(START, "the file is not valid UTF-8", "Save it in the encoding UTF-8.")
        except (ValueError, RecursionError) as error:
            report.add(START, f"this is not JSON that every program reads: {error}")
    problems.extend(report.problems)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no value of JSON")
