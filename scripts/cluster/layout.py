"""Where a cluster's files lie and which addresses it has. Decides names; touches nothing but the list of slots."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KUBERNETES = "1.34.4"
COREDNS = "1.15.0"
DEFAULT_NAME = "tidegate-test"
STATES = Path("/var/lib/tidegate-tests")
SOURCES = Path(__file__).parent
SLOTS = 8  # each has 32 of the 256 networks of 10.213.0.0/16


class ClusterError(Exception):
    """What went wrong, and the last lines of the log of the part that failed."""


def cache_folder() -> Path:
    """Binaries and root file systems, kept between clusters and safe to delete at any time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tidegate-tests" / "kubernetes" / KUBERNETES


@dataclass(frozen=True)
class Layout:
    """One cluster. Its `slot` decides its addresses, so that several run side by side."""

    name: str
    slot: int

    @property
    def folder(self) -> Path:
        """Everything the cluster writes; removed when it stops."""
        return STATES / self.name

    @property
    def logs(self) -> Path:
        """One file for each part."""
        return self.folder / "log"

    @property
    def certificates(self) -> Path:
        """Keys, certificates and the parts' own kubeconfigs."""
        return self.folder / "certificates"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; its one context is called like the cluster."""
        return self.folder / "kubeconfig"

    @property
    def images(self) -> Path:
        """JSON: name of an image -> its reference by digest."""
        return self.folder / "images.json"

    @property
    def description(self) -> Path:
        """JSON: what tests need to know. Written last: where it is, the cluster was ready."""
        return self.folder / "cluster.json"

    @property
    def process(self) -> Path:
        """JSON: pid and start of the first process."""
        return self.folder / "process.json"

    @property
    def volumes(self) -> Path:
        """A folder for each bound claim."""
        return self.folder / "volumes"

    @property
    def cgroup(self) -> str:
        """Below it, in each hierarchy, are all pods."""
        return self.name

    @property
    def device(self) -> str:
        """The host's end of the pair of network devices."""
        return f"tgtest{self.slot}"

    @property
    def host_ip(self) -> str:
        """The host, as the node and pods see it."""
        return self._address(0, 1)

    @property
    def node_ip(self) -> str:
        """The node, as host and pods see it."""
        return self._address(0, 2)

    @property
    def pods(self) -> str:
        """1,022 addresses."""
        return f"{self._address(4, 0)}/22"

    @property
    def load_balancers(self) -> str:
        """Addresses of Services of type LoadBalancer."""
        return f"{self._address(12, 0)}/24"

    @property
    def services(self) -> str:
        """4,094 addresses."""
        return f"{self._address(16, 0)}/20"

    @property
    def api_service_ip(self) -> str:
        """The Service `kubernetes`: always the first."""
        return self._address(16, 1)

    @property
    def dns_ip(self) -> str:
        """The Service `kube-dns`."""
        return self._address(16, 10)

    @property
    def registry(self) -> str:
        """Host and port, the same for host, node and pods."""
        return f"{self.node_ip}:5000"

    @property
    def api(self) -> str:
        """Where the API server answers, for everybody outside."""
        return f"https://{self.node_ip}:6443"

    def _address(self, network: int, host: int) -> str:
        return f"10.213.{self.slot * 32 + network}.{host}"


@contextmanager
def locked(name: str) -> Iterator[Layout]:
    """The layout of the cluster of that name, held so that nobody else starts or stops it meanwhile."""
    STATES.mkdir(parents=True, exist_ok=True)
    with (STATES / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Layout(name, _slot(name))


def running(name: str) -> dict[str, Any] | None:
    """What `make cluster` wrote down when the cluster of that name was ready; None when there is none."""
    try:
        found: dict[str, Any] = json.loads((STATES / name / "cluster.json").read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return found


def _slot(name: str) -> int:
    slots = STATES / ".slots.json"
    with (STATES / ".slots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken: dict[str, int] = json.loads(slots.read_text()) if slots.exists() else {DEFAULT_NAME: 0}
        if name in taken:
            return taken[name]
        free = [slot for slot in range(SLOTS) if slot not in taken.values()]
        if not free:
            gone = [other for other in taken if other != DEFAULT_NAME and not (STATES / other).exists()]
            if not gone:
                raise ClusterError(f"there are {SLOTS} clusters already: {', '.join(sorted(taken))}; stop one of them")
            free = [taken.pop(gone[0])]
        taken[name] = free[0]
        slots.write_text(json.dumps(taken))
        return free[0]
