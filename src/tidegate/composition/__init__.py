"""Puts a workspace together: the only importer of drivers, stores and builds."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import psutil

from tidegate.app.workspace import Kept, Parts, Workspace
from tidegate.builds.checkout import CheckoutBuilder
from tidegate.builds.folder_storage import FolderStorage
from tidegate.builds.s3_storage import S3Storage
from tidegate.builds.shared import SharedTrees
from tidegate.builds.tree import TreeArtifacts
from tidegate.drivers.local.ports import registry_folder
from tidegate.drivers.local.target import LocalTarget
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.errors import SecretError, TargetError, TidegateError
from tidegate.manifest import Project, find_root, load
from tidegate.manifest.models import TargetSpec
from tidegate.model.holder import holder_of
from tidegate.model.pins import Secret, Value
from tidegate.ports.artifacts import ArtifactStorage
from tidegate.stores.sql import SQLITE_URL, SqlStore

STATE = ".tidegate"
KUBERNETES = "kubernetes"  # the kind of target


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """As `Clock.now`."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await anyio.sleep(seconds)


@asynccontextmanager
async def open_workspace(start: Path, *, whole: bool = True) -> AsyncIterator[Workspace]:
    """The workspace of the project that `start` lies in; `whole` as in `load`.

    Raises `ProjectNotFound`, `ManifestError`, `StoreError`.
    """
    root = find_root(start)
    async with workspace_of(load(root, whole=whole)) as workspace:
        yield workspace


@asynccontextmanager
async def workspace_of(project: Project) -> AsyncIterator[Workspace]:
    """The workspace of a project whose manifests are read already. Nothing is opened before it is needed."""
    async with AsyncExitStack() as opened:
        yield Workspaces(project, opened).of((project.store, project.artifacts, TargetSpec()))


class Workspaces:
    """The workspaces of one project: one for each combination of store, artifacts and target that its environments
    have. What they open is closed with `opened`."""

    def __init__(self, project: Project, opened: AsyncExitStack) -> None:
        self._project = project
        self._opened = opened
        self._clock = SystemClock()
        self._holder = _holder()
        self._actor = f"{getpass.getuser()}@{socket.gethostname()}"
        self._secrets = EnvironmentAndFileSecrets(project.root)
        self._workspaces: dict[Kept, Workspace] = {}
        self._stores: dict[str | Path, SqlStore] = {}
        self._passed = {name: os.environ[name] for name in project.build_pass if name in os.environ}
        self._logs = project.root / STATE / "logs" / "builds"

    def of(self, kept: Kept) -> Workspace:
        """The same workspace for the same combination."""
        if kept not in self._workspaces:
            self._workspaces[kept] = Workspace(
                project=self._project,
                clock=self._clock,
                holder=self._holder,
                actor=self._actor,
                vanished=_vanished,
                parts=cache(partial(self._open, kept)),
                kept=kept,
                elsewhere=self.of,
            )
        return self._workspaces[kept]

    def _open(self, kept: Kept) -> Parts:
        """Raises `StoreError`, `SecretError`, `ReleaseError`."""
        own = state_folder(self._project.root)
        place = self._value(kept[0])
        where = own / "store.db" if place is None else store_location(place, self._project.root)
        root, state = (self._project.root, own) if place is None else _shared_state(where, self._project)
        store = self._store(where)
        if kept[2].kind == KUBERNETES:
            return self._cluster(kept[2], store, state, shared=place is not None)
        storage = self._storage(kept[1])
        trees = TreeArtifacts(state / "artifacts")
        self._opened.callback(trees.close)
        artifacts = SharedTrees(trees, storage) if storage else trees
        recovery = partial(_recovery, self._project.root)
        target = LocalTarget(root, state, store, artifacts, self._secrets, recovery=recovery)
        self._opened.push_async_callback(target.close)
        builder = CheckoutBuilder(self._project.root, artifacts, self._passed, logs=self._logs)
        return Parts(store, target, artifacts, builder, shared=place is not None)

    def _store(self, where: str | Path) -> SqlStore:
        if where not in self._stores:
            self._stores[where] = SqlStore.open(where, self._clock)
            self._opened.push_async_callback(self._stores[where].close)
        return self._stores[where]

    def _cluster(self, spec: TargetSpec, store: SqlStore, state: Path, *, shared: bool) -> Parts:
        """Raises `TargetError` if what speaks to clusters is not installed."""
        try:
            from tidegate.composition.cluster import open_cluster  # noqa: PLC0415  (takes as long as all else together)
        except ImportError as error:
            raise TargetError(
                "cannot use Kubernetes",
                f"{error.name} is not installed.",
                hint="Install Tidegate with its extra `kubernetes`; in a clone: pip install '.[kubernetes]'",
            ) from error
        return open_cluster(
            spec,
            self._project,
            store,
            secrets=self._secrets,
            folder=state / "artifacts",
            logs=self._logs,
            passed=self._passed,
            shared=shared,
            opened=self._opened,
        )

    def _storage(self, artifacts: Value | None) -> ArtifactStorage | None:
        place = self._value(artifacts)
        if place is None:
            return None
        return S3Storage(place) if "://" in place else FolderStorage(_below(self._project.root, place))

    def _value(self, value: Value | None) -> str | None:
        if not isinstance(value, Secret):
            return value
        found = self._secrets.resolve(value)
        if not found.strip():  # as a path it would be the folder of the project
            raise SecretError(
                f"cannot use the secret {value.reference!r}",
                "It is empty, and says where a store or artifacts are kept.",
                hint="Give it the place: a path or a URL.",
            )
        return found


def store_location(place: str, root: Path) -> str | Path:
    """Where a store is: a URL, or the absolute path of a file; relative ones begin at `root`."""
    if "://" in place and not place.startswith(SQLITE_URL):
        return place
    return _below(root, place.removeprefix(SQLITE_URL))


def _below(root: Path, place: str) -> Path:
    return (root / Path(place).expanduser()).resolve()


def _shared_state(store: str | Path, project: Project) -> tuple[Path, Path]:
    """Root and state of the local target for a store that several checkouts may share: one of this user on this
    machine, whoever of them changes the environment. Another organization that uses the same store by mistake gets
    another folder, and so is refused: environments live at one place."""
    if isinstance(store, Path):
        name = str(store)
    else:
        parts = urlsplit(store)
        name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # who asks makes it no other store
    owner = re.sub(r"[^a-z0-9]+", "-", project.organization.lower())[:32]
    whole = os.fsencode(f"{name}\0{project.organization}")
    folder = registry_folder().absolute() / "stores" / f"{owner}-{hashlib.sha256(whole).hexdigest()[:12]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TidegateError(
            f"cannot write to {folder}",
            f"It keeps what runs of environments with a store of their own: {error.strerror}.",
            hint="Set TIDEGATE_STATE_DIR to a folder of your own.",
        ) from error
    return folder, folder


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
