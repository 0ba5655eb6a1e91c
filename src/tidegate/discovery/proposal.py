"""From what was found to the files that `tidegate init` writes."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tidegate.discovery.candidate import Candidate, component_name
from tidegate.discovery.compose import read_compose
from tidegate.discovery.existing import names_below, project_above
from tidegate.discovery.folder import MARKERS, read_folder
from tidegate.discovery.settle import settled
from tidegate.errors import TidegateError
from tidegate.manifest.component import FILES
from tidegate.manifest.organization import FILE as TIDEGATE_YAML
from tidegate.manifest.project import walk
from tidegate.model.network import network_variables

SERVICE_YAML = "service.yaml"
DOWNLOADS = re.compile(r"\b(ci|install|sync)\b")  # in a proposed build: npm ci, uv pip install, uv sync
DEEPEST = 4  # folders below the root: what lies deeper is seldom a component of its own


@dataclass(frozen=True)
class Proposal:
    """`files` are (path relative to the root, text, why); `unknown` what a person decides; `found` what was read.

    `empty` says that no component is there, and none is proposed.
    """

    files: tuple[tuple[str, str, str], ...]
    unknown: tuple[str, ...]
    found: tuple[str, ...]
    empty: bool = False


def propose(root: Path) -> Proposal:
    """Manifests for the project in `root`; none for what has one. Reads only. Raises `TidegateError`.

    In a folder of a project, what is proposed becomes part of that project.
    """
    root = root.resolve()
    if not root.is_dir():
        raise TidegateError(
            "cannot read the project", f"{root} is not a folder.", hint="Change to your project's folder."
        )
    above = None if (root / TIDEGATE_YAML).exists() else project_above(root)
    composed = read_compose(root)
    unknown = list(composed.unknown)
    taken = {candidate.folder for candidate in composed.candidates}
    candidates = list(composed.candidates)
    described: set[str] = set()
    for place, names in sorted(walk(root, [])):
        folder = place.rstrip("/") or "."
        if there := [file for file in FILES if file in names]:
            described.add(folder)
            unknown.append(f"{_join(folder, there[0])} exists already and is left as it is.")
        elif names & MARKERS and folder not in taken and place.count("/") <= DEEPEST and not (folder == "." and taken):
            name = component_name(root.name if folder == "." else Path(folder).name)
            candidate = read_folder(root / folder, folder, name)
            if candidate is not None:
                candidates.append(candidate)
            elif "Dockerfile" in names or "Procfile" in names:
                unknown.append(f"{folder}: cannot see how it is started; write a {SERVICE_YAML} with run: there.")
    if above and not candidates and not described:
        raise TidegateError(
            "cannot propose anything here",
            f"{root} is in the project of {above / TIDEGATE_YAML}, and nothing in it says how a service is started.",
            hint=f"Write a {SERVICE_YAML} with run: here; the project above finds it.",
        )
    candidates = [one for one in candidates if one.folder not in described]
    candidates = settled(candidates, names_below(above or root), unknown)
    files = [(_join(one.folder, SERVICE_YAML), _service(one), f"from {', '.join(one.why) or 'its sources'}")
             for one in candidates]  # fmt: skip
    for candidate in candidates:
        unknown.extend(candidate.unknown)
    _with_top(root, above, candidates, files, unknown)
    if empty := not candidates and not described:
        unknown.append(f"No component was found: write a {SERVICE_YAML} with run: beside your code.")
    found = tuple(dict.fromkeys(_join(one.folder, why) if why != composed.file else why
                                for one in candidates for why in one.why))  # fmt: skip
    return Proposal(tuple(files), tuple(dict.fromkeys(unknown)), found, empty)


def _with_top(
    root: Path, above: Path | None, candidates: list[Candidate], files: list[tuple[str, str, str]], unknown: list[str]
) -> None:
    """Add the file of the project where there is none yet; say what there is."""
    if above:
        unknown.append(f"{above / TIDEGATE_YAML} is above: what is proposed here becomes part of that project.")
    elif not (root / TIDEGATE_YAML).exists():
        files.insert(0, (TIDEGATE_YAML, _tidegate(root, candidates), "the organization and its environments"))
        if any(candidate.port for candidate in candidates):
            unknown.append("Only dev is proposed: a fixed port can be had once. Add stage and prod when it is gone.")
        return
    if candidates:
        unknown.append(f"{TIDEGATE_YAML} exists already: with several teams, add team: to each new {SERVICE_YAML}.")


def _join(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _tidegate(root: Path, candidates: list[Candidate]) -> str:
    text = f"organization: {component_name(root.name)}\nenvironments:\n  dev:   {{}}\n"
    if not any(candidate.port for candidate in candidates):
        text += "  stage: {after: dev}\n  prod:  {after: stage}\n"
    names = network_variables(os.environ)
    if names and any(DOWNLOADS.search(candidate.build) for candidate in candidates):
        text += "builds:  # see PATH, HOME and LANG only; these are set here, and downloads may need them\n"
        text += f"  pass: [{', '.join(names)}]\n"
    return text


def _service(one: Candidate) -> str:
    keys: dict[str, Any] = {}
    if one.folder == "." or one.name != Path(one.folder).name:
        keys["name"] = one.name
    if one.build:
        keys["build"] = one.build
    keys["run"] = one.run
    if one.port:
        keys["port"] = one.port
    if one.health:
        keys["health"] = one.health
    if one.expose:
        keys["expose"] = True
    if one.needs:
        keys["needs"] = list(one.needs)
    if one.env:
        keys["env"] = dict(one.env)
    return yaml.safe_dump(keys, sort_keys=False, width=1000, allow_unicode=True)


def write(proposal: Proposal, root: Path) -> None:
    """Write all files or none, and folders that they need. Raises `TidegateError`, also when one of the files has come
    into being since."""
    written: list[Path] = []
    try:
        for path, text, _ in proposal.files:
            _make_folder((root / path).parent, written)
            _create(root / path, text)
            written.append(root / path)
    except OSError as error:
        _remove(written)
        raise TidegateError(
            "cannot write the manifests",
            f"{error.filename2 or error.filename}: {error.strerror}. Nothing was written.",
            hint="Run the same command again once that is put right.",
        ) from error
    except BaseException:
        _remove(written)
        raise


def _create(file: Path, text: str) -> None:
    """Whole or not at all, and never over something that is there: a link, unlike a rename, replaces nothing."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _make_folder(folder: Path, written: list[Path]) -> None:
    if not folder.exists():
        _make_folder(folder.parent, written)
        folder.mkdir()
        written.append(folder)


def _remove(written: list[Path]) -> None:
    """What was written, the last first; a folder that somebody else has used since stays."""
    for each in reversed(written):
        with contextlib.suppress(OSError):
            each.rmdir() if each.is_dir() else each.unlink()
