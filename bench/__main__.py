"""`python -m bench [NAME…] [--write]`: all measurements, or those named, one after the other; then one table.

`--write` also keeps the table in `bench/RESULTS.md`; with names, only what those measure is new there. The exit status
says whether everything could be measured, not whether every promise was kept: figures are read by people.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    apply,
    kubernetes_plan,
    kubernetes_switch,
    kubernetes_undo,
    kubernetes_up,
    manifests,
    operators,
    planning,
    recovery,
    release,
    store,
    undo,
    up,
)
from bench.project import Failed
from bench.table import Row, as_markdown, renewed, show

MEASUREMENTS: Mapping[str, Callable[[], list[Row]]] = {
    "planning": planning.rows,
    "manifests": manifests.rows,
    "store": store.rows,
    "apply": apply.rows,
    "up": up.rows,
    "undo": undo.rows,
    "release": release.rows,
    "operators": operators.rows,
    "recovery": recovery.rows,
    "kubernetes-up": kubernetes_up.rows,
    "kubernetes-up-needs": kubernetes_up.rows_with_needs,
    "kubernetes-switch": kubernetes_switch.rows,
    "kubernetes-undo": kubernetes_undo.rows,
    "kubernetes-plan": kubernetes_plan.rows,
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def machine() -> str:
    """What the figures hold for: the machine, and how busy others kept it when this began."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; load average {load:.1f} at the beginning"
    )


def commit() -> str:
    """The short name of the commit, with `+` when files differ from it; "unknown" without git."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty=+"]
    done = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Exit status 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and print one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(MEASUREMENTS)} (default all)")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.name}")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"no measurement is called {', '.join(unknown)}")
    heading = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {machine()}"
    rows: list[Row] = []
    failed = 0
    for name in arguments.names or MEASUREMENTS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            rows += MEASUREMENTS[name]()
        except Failed as failure:
            failed += 1
            print(f"{name} could not be measured: {failure}", file=sys.stderr)
    show(heading, rows)
    if arguments.write:
        if arguments.names:
            document = renewed(RESULTS.read_text(encoding="utf-8"), " ".join(arguments.names), heading, rows)
        else:
            document = f"# Results\n\n`make bench ARGS=--write`: {heading}.\n\n{as_markdown(rows)}"
        RESULTS.write_text(document, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
