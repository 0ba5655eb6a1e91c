"""Puts a workspace together: the only importer of drivers, stores and builds."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import psutil

from tidegate.app.workspace import Workspace
from tidegate.builds.checkout import CheckoutBuilder
from tidegate.builds.tree import TreeArtifacts
from tidegate.drivers.local.target import LocalTarget
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.errors import TidegateError
from tidegate.manifest import Project, find_root, load
from tidegate.model.holder import holder_of
from tidegate.stores.sql import SqlStore

STATE = ".tidegate"


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """As `Clock.now`."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await anyio.sleep(seconds)


@asynccontextmanager
async def open_workspace(start: Path) -> AsyncIterator[Workspace]:
    """The workspace of the project that `start` lies in.

    Raises `ProjectNotFound`, `ManifestError`, `StoreError`.
    """
    root = find_root(start)
    async with workspace_of(load(root)) as workspace:
        yield workspace


@asynccontextmanager
async def workspace_of(project: Project) -> AsyncIterator[Workspace]:
    """The workspace of a project whose manifests are read already."""
    state = state_folder(project.root)
    clock = SystemClock()
    store = SqlStore.open(state / "store.db", clock)
    try:
        artifacts = TreeArtifacts(state / "artifacts")
        secrets = EnvironmentAndFileSecrets(project.root)
        target = LocalTarget(project.root, state, store, artifacts, secrets, recovery=partial(_recovery, project.root))
        try:
            passed = {name: os.environ[name] for name in project.build_pass if name in os.environ}
            yield Workspace(
                project=project,
                store=store,
                target=target,
                artifacts=artifacts,
                builder=CheckoutBuilder(project.root, artifacts, passed, logs=state / "logs" / "builds"),
                clock=clock,
                holder=_holder(),
                actor=f"{getpass.getuser()}@{socket.gethostname()}",
                vanished=_vanished,
            )
        finally:
            await target.close()
    finally:
        await store.close()


def state_folder(root: Path) -> Path:
    """`.tidegate` of a project, made on demand; version control ignores it by itself."""
    state = root / STATE
    try:
        state.mkdir(mode=0o700, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise TidegateError(
            f"cannot write to {root}", f"{STATE} keeps releases, logs and the store: {error.strerror}."
        ) from error
    return state


def _recovery(root: Path, environment: str) -> list[str]:
    """The command that recovers an environment of this project, from anywhere."""
    return [sys.executable, "-P", "-m", "tidegate", "-C", str(root), "recover", environment]


def _holder() -> str:
    """This process; the name tells on the same machine whether this process still lives."""
    process = psutil.Process()
    return holder_of(socket.gethostname(), process.pid, process.create_time())


def _vanished(holder: str) -> bool:
    """Whether the process that `_holder` named is known to be gone: it ran on this machine and does no longer."""
    host, pid, started = [*holder.rsplit(":", 2), "", ""][:3]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        process = psutil.Process(int(pid))
        return process.status() == psutil.STATUS_ZOMBIE or f"{process.create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True
