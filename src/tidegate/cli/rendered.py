"""Objects as YAML: one stream, or a folder with a file for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tidegate.errors import TidegateError

_FIRST = ("apiVersion", "kind", "metadata", "spec")
_MARK = "# Made by `tidegate render {}`: changes are lost at the next one.\n"
_ANY_MARK = _MARK.partition("{")[0]


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with texts of several lines as they are read best."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - whatever it is
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(objects: Sequence[Mapping[str, Any]]) -> str:
    """All objects in one stream, in their order."""
    return "---\n".join(_one(each) for each in objects)


def write_folder(objects: Sequence[Mapping[str, Any]], folder: Path, environment: str) -> tuple[list[str], list[str]]:
    """One file for each object; the names of those that were written, and of those that were removed.

    Files of former calls for the same environment go if their objects are gone. Raises `TidegateError` before anything
    is written if some other file would be overwritten, and where the folder cannot be written to.
    """
    texts = {_file_name(each): _one(each) for each in objects}
    mark = _MARK.format(environment)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marks = {file.name: _first_line(file) for file in sorted(folder.glob("*.yaml"))}
        for name in texts:
            if name in marks and marks[name] != mark:
                raise _in_the_way(folder / name, marks[name])
        for name, text in texts.items():
            _write(folder / name, mark + text)
        gone = [name for name, found in marks.items() if found == mark and name not in texts]
        for name in gone:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise TidegateError(
            f"cannot write to {folder}", f"{error.filename}: {error.strerror}", hint="Name another folder with --out."
        ) from error
    return list(texts), gone


def _in_the_way(file: Path, first_line: str) -> TidegateError:
    other = first_line.startswith(_ANY_MARK)
    return TidegateError(
        f"cannot write {file}",
        "It was rendered for another environment." if other else "It is there, and `tidegate render` did not make it.",
        hint="Give each environment a folder of its own." if other else "Name another folder, or move the file away.",
    )


def _file_name(obj: Mapping[str, Any]) -> str:
    """By these, tools that apply a folder find the namespace before what is put into it."""
    first = "00-" if obj["kind"] == "Namespace" else ""
    return f"{first}{obj['kind']}-{obj['metadata']['name']}.yaml"


def _one(each: Mapping[str, Any]) -> str:
    ordered = {key: each[key] for key in _keys(each)}
    return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _keys(each: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _FIRST if key in each)
    yield from (key for key in each if key not in _FIRST)


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline()


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
