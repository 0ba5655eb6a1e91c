"""Releases as plain JSON, and back: exact both ways; see `tidegate.model.encoding`."""

from __future__ import annotations

from typing import Any

from tidegate.model.component import (
    RUN_TIMEOUT,
    Health,
    HealthKind,
    Hook,
    Kind,
    Release,
    Runtime,
    runtime_to_json,
)
from tidegate.model.strict import VERSION, Json, document, fields, number, text, texts, truth, word, wrong

LATER = "before after overlap data resources retry timeout"


def release_to_json(release: Release) -> Json:
    """Every field by its name, but the version of the component is `label`: `version` is the one of this format."""
    return {
        "version": VERSION,
        "digest": release.digest,
        "component": release.component,
        "kind": release.kind.value,
        "team": release.team,
        "label": release.version,
        "commit": release.commit,
        "dirty": release.dirty,
        "by": release.by,
        "at": release.at,
        "runtime": runtime_to_json(release.runtime),
    }


def release_from_json(value: Any) -> Release:
    """The reverse of `release_to_json`."""
    found = document(value, "release", "digest component kind team label commit dirty by at runtime")
    at = found["at"]
    if type(at) is not float and type(at) is not int:
        raise wrong("at", "a number", at)
    return Release(
        digest=text(found["digest"], "digest"),
        component=text(found["component"], "component"),
        kind=word(Kind, found["kind"], "kind"),
        team=text(found["team"], "team"),
        runtime=_runtime(found["runtime"]),
        version=text(found["label"], "label"),
        commit=text(found["commit"], "commit"),
        dirty=truth(found["dirty"], "dirty"),
        by=text(found["by"], "by"),
        at=float(at),
    )


def health_from_json(value: Any) -> Health:
    """The reverse of `health_to_json`."""
    found = fields(value, "health", "kind check interval timeout start_timeout failures")
    return Health(
        kind=word(HealthKind, found["kind"], "kind"),
        check=text(found["check"], "check"),
        interval=number(found["interval"], "interval"),
        timeout=number(found["timeout"], "timeout"),
        start_timeout=number(found["start_timeout"], "start_timeout"),
        failures=number(found["failures"], "failures"),
    )


def _runtime(value: Any) -> Runtime:
    found = fields(value, "runtime", "run folder verify needs port drain grace health", LATER)
    verify, port = found["verify"], found["port"]
    return Runtime(
        run=text(found["run"], "run"),
        folder=text(found["folder"], "folder"),
        health=health_from_json(found["health"]),
        verify=None if verify is None else text(verify, "verify"),
        needs=texts(found["needs"], "needs"),
        port=None if port is None else number(port, "port"),
        drain=number(found["drain"], "drain"),
        grace=number(found["grace"], "grace"),
        before=_hook(found.get("before")),
        after=_hook(found.get("after")),
        overlap=truth(found.get("overlap", True), "overlap"),
        data=truth(found.get("data", False), "data"),
        resources=texts(found.get("resources", []), "resources"),
        retry=truth(found.get("retry", False), "retry"),
        timeout=number(found.get("timeout", RUN_TIMEOUT), "timeout"),
    )


def _hook(value: Any) -> Hook | None:
    if value is None:
        return None
    found = fields(value, "hook", "run undo retry timeout")
    undo = found["undo"]
    return Hook(
        run=text(found["run"], "run"),
        undo=None if undo is None else text(undo, "undo"),
        retry=truth(found["retry"], "retry"),
        timeout=number(found["timeout"], "timeout"),
    )
