"""Where the local target keeps things: the project's state folder, the run-time folder for sockets, the user's
port registry."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from tidegate.errors import TargetError
from tidegate.model.address import GroupAddress, RunAddress

LONGEST_SOCKET_PATH = 103
"""A socket's path has at most 107 bytes on Linux and 103 on macOS."""
FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST_SOCKET_NAME = len("/gateway-admin.sock")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one project. `state` is its `.tidegate`; only `runtime` lies outside."""

    root: Path
    state: Path
    runtime: Path

    @property
    def agent(self) -> Path:
        """The agent's own folder; mode 0700."""
        return self.state / "agent"

    @property
    def lock(self) -> Path:
        """Held by the agent as long as it lives; says where it listens."""
        return self.agent / "lock"

    @property
    def state_file(self) -> Path:
        """What the agent has to know again after its death; no secret value is ever in it."""
        return self.agent / "state.json"

    @property
    def agent_log(self) -> Path:
        """The agent's own standard output and error."""
        return self.agent / "agent.log"

    @property
    def gateway(self) -> Path:
        """The gateway's configuration."""
        return self.agent / "gateway"

    @property
    def socket(self) -> Path:
        """Where the agent listens; mode 0600."""
        return self.runtime / "agent.sock"

    def logs(self, environment: str) -> Path:
        """Logs of the instances and of the gateway."""
        return self.state / "logs" / environment

    def access_log(self, environment: str) -> Path:
        """One JSON object per request."""
        return self.logs(environment) / "access.log"

    def instance_log(self, group: GroupAddress, index: int) -> Path:
        """Standard output and error of one instance over all its restarts."""
        return self.logs(group.environment) / f"{group.name}.{index}.log"

    def environment(self, environment: str) -> Path:
        """What the agent writes for the instances of one environment."""
        return self.state / "environments" / environment

    def data(self, environment: str, owner: str = "") -> Path:
        """What outlives releases and a plain `down`: the folder of one component or resource, or all of them."""
        return self.state / "data" / environment / owner

    def work(self, environment: str, resource: str) -> Path:
        """Where a resource without data works."""
        return self.environment(environment) / resource

    def resource_log(self, environment: str, resource: str) -> Path:
        """Standard output and error of a resource over all its restarts."""
        return self.logs(environment) / f"{resource}.0.log"

    def runbook(self, environment: str) -> Path:
        """What is known of commands that run to their end."""
        return self.data(environment) / ".runs.json"

    def run_status(self, run: RunAddress) -> Path:
        """Where the exit status of a run is left when it ends."""
        return self.data(run.environment) / f".{run.name}.status"

    def run_log(self, run: RunAddress) -> Path:
        """Standard output and error of a run."""
        return self.logs(run.environment) / f"{run.name}.log"

    def run_settings(self, run: RunAddress) -> Path:
        """The settings file of a run, while it runs."""
        return self.environment(run.environment) / f"{run.name}.settings.json"

    def recovery_log(self, environment: str) -> Path:
        """Standard output and error of recoveries that the agent started."""
        return self.logs(environment) / "recover.log"

    def settings(self, group: GroupAddress) -> Path:
        """The settings file of one group."""
        return self.environment(group.environment) / f"{group.name}.settings.json"


def runtime_folder(root: Path) -> Path:
    """The folder for the sockets of the project at `root`: `$TIDEGATE_RUNTIME_DIR/<hash>`, else
    `$XDG_RUNTIME_DIR/tidegate/<hash>`, else `/tmp/tidegate-<uid>/<hash>`.

    Does not create it. Raises `TargetError` when the path given by hand is too long for a socket.
    """
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    given = os.environ.get("TIDEGATE_RUNTIME_DIR")
    if given:
        folder = Path(given).absolute() / name
        if not _fits(folder):
            raise TargetError(
                "cannot use TIDEGATE_RUNTIME_DIR",
                f"{folder} is too long: a socket's path may have {LONGEST_SOCKET_PATH} bytes.",
                hint="Set it to a shorter folder, or unset it.",
            )
        return folder
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session and _fits(Path(session) / "tidegate" / name):
        return Path(session) / "tidegate" / name
    return Path(f"/tmp/tidegate-{os.getuid()}") / name  # noqa: S108 - ownership is checked by make_private


def unusable(error: OSError) -> TargetError:
    """What to tell when a file cannot be read or written."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    hint = "Make room there, then try again." if error.errno in FULL else ""
    return TargetError("cannot use a file", what, hint=hint)


def make_own(folder: Path) -> None:
    """Make a folder that no other user looks into; one that is there stays as it is. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def destroy_data(folders: Folders, environment: str) -> None:
    """Remove what outlives a plain `down`. Raises `TargetError` when something of it cannot be removed."""
    folder = folders.data(environment)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise TargetError(
            f"cannot destroy the data of {environment}",
            f"{error.filename}: {error.strerror}",
            hint=f"Remove {folder} by hand.",
        ) from error


def make_private(folder: Path) -> None:
    """Make `folder` and, in a shared place such as /tmp, the one above it: ours, mode 0700.

    Raises `TargetError` when somebody else owns one of them or it is not a folder.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_own(folder.parent)
    _check_own(folder)
    folder.chmod(0o700)


def _check_own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise TargetError(
            "cannot use the run-time folder",
            f"{folder} is not a folder of yours; somebody else could read or replace what is in it.",
            hint="Remove it, or set TIDEGATE_RUNTIME_DIR to a folder of your own.",
        )


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH
