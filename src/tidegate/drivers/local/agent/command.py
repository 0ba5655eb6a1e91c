"""One command that runs to its end: how it is started so that its exit status is never lost.

It leads a session of its own, and the shell around it leaves its exit status in a file, where the next agent finds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tidegate.drivers.local.agent.instance import LOG_LINES
from tidegate.drivers.local.agent.process import Process
from tidegate.drivers.local.agent.runbook import RunRecord
from tidegate.drivers.local.folders import Folders
from tidegate.drivers.local.logs import InstanceLog
from tidegate.drivers.local.run_protocol import RunSpec
from tidegate.model.address import RunAddress

LOGS = 20
"""So many logs of runs are kept per component."""
OUTPUT = 1 << 16
"""Bytes at the end of what a command printed that are looked at."""
NEVER = "never"
WRAPPER = f"""read -r go || {{ echo {NEVER} > "$2"; exit 125; }}
/bin/sh -c "$1" < /dev/null
status=$?
echo $status > "$2"
exit $status"""
"""Begins when it is told, and not at all when the agent dies before it could write down that it will. A status is
whole when its line is."""


def begin(folders: Folders, record: RunRecord, spec: RunSpec, environment: Mapping[str, str]) -> tuple[Process, int]:
    """A process that begins when it reads a line from the descriptor that is returned, and the caller closes.

    Raises OSError.
    """
    run = record.run
    status = folders.run_status(run)
    status.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status.unlink(missing_ok=True)
    if spec.data:
        Path(spec.data).mkdir(mode=0o700, parents=True, exist_ok=True)
    if spec.settings is not None:
        settings = folders.run_settings(run)
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(spec.settings)
    log = InstanceLog(folders.run_log(run))
    _drop_logs(folders, run)
    record.offset = log.size()
    output = log.open()
    hear, tell = os.pipe()
    try:
        process = Process.spawn(
            ["/bin/sh", "-c", WRAPPER, "tidegate-run", spec.command, str(status)],
            folder=spec.folder,
            env=environment,
            output=output,
            source=hear,
        )
    except OSError:
        os.close(tell)
        raise
    finally:
        os.close(hear)
        os.close(output)
    record.pid, record.process = process.pid, process.identity
    return process, tell


def _drop_logs(folders: Folders, run: RunAddress) -> None:
    """Make room for one more log of this component."""
    name = re.escape(run.component)
    ours = re.compile(rf"{name}-((before|after)-[0-9a-f]+|task-[0-9]+)\.log")
    folder = folders.run_log(run).parent
    found = [path for path in folder.glob("*.log") if ours.fullmatch(path.name) and path.stem != run.name]
    found.sort(key=lambda path: path.stat().st_mtime)
    for path in found[: -(LOGS - 1)]:
        path.unlink(missing_ok=True)


def said(file: Path) -> str:
    """What the shell left when the command ended; "" if it did not come to that."""
    try:
        content = file.read_text()
    except OSError:
        return ""
    line = content.removesuffix("\n")
    return line if content.endswith("\n") and (line == NEVER or line.isdecimal()) else ""


def last_words(log: Path, offset: int) -> list[str]:
    """The last lines that were printed behind `offset`, oldest first."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, os.fstat(file.fileno()).st_size - OUTPUT))  # it may have printed without end
            return file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []
