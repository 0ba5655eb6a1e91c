"""Which cluster commands would talk to now."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tidegate.manifest.reader import Report, Scalar, TooManyProblems, read


def current_context() -> str:
    """The current context of the kubeconfig, of `$KUBECONFIG` or of the user; "" if there is none."""
    named = [Path(place) for place in os.environ.get("KUBECONFIG", "").split(os.pathsep) if place]
    for file in named or [Path.home() / ".kube" / "config"]:
        with contextlib.suppress(OSError, TooManyProblems):
            table = read(file.read_bytes(), Report(file.name))
            entry = table.entries.get("current-context") if table else None
            if entry and isinstance(entry.value, Scalar) and isinstance(entry.value.value, str) and entry.value.value:
                return entry.value.value
    return ""
