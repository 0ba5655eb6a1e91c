"""The first process of a cluster: it sets up its namespaces, starts the parts in order, and starts again what ends.

Run as `unshare --net --mount --pid --fork --kill-child … python -m scripts.cluster.inside NAME SLOT`. When it dies the
kernel ends every process that it or a pod ever started, and with them go mounts and network.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from scripts.cluster.layout import ClusterError, Layout
from scripts.cluster.parts import Part, parts

READY_SECONDS = 90.0
PRIVATE = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/run/containerd")


def main(name: str, slot: int) -> None:
    """Never returns, unless a part does not get ready."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    layout = Layout(name, slot)
    _mounts(layout)
    _network(layout)
    running: dict[int, Part] = {}
    for part in parts(layout):
        begun = time.monotonic()
        running[_start(layout, part)] = part
        _until_ready(part, running)
        print(f"{part.name}: {time.monotonic() - begun:.1f} s", flush=True)
    while True:
        _restart_one(layout, running)


def _restart_one(layout: Layout, running: dict[int, Part]) -> None:
    """Waits until a process ends: a part is started again; the rest are orphans of pods, which only need reaping."""
    pid, status = os.wait()
    part = running.pop(pid, None)
    if part is None:
        return
    print(f"{part.name} ended with {os.waitstatus_to_exitcode(status)}; starting it again", flush=True)
    time.sleep(1)  # so that one that cannot start does not keep the machine busy
    running[_start(layout, part)] = part


def _start(layout: Layout, part: Part) -> int:
    # Nothing else of who started the cluster: no proxy for addresses that only exist here, no secrets.
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": os.environ.get("HOME", "/root")}
    # Not `subprocess`: whenever it starts a process it takes away the ends of those that it started before.
    with (layout.logs / part.name).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        return os.posix_spawnp(
            part.command[0],
            part.command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
            setsid=True,
        )


def _until_ready(part: Part, running: dict[int, Part]) -> None:
    limit = time.monotonic() + READY_SECONDS
    while part.ready is not None and not _answers(part.ready):
        if time.monotonic() > limit:
            raise ClusterError(f"{part.name} does not answer at {part.ready} after {READY_SECONDS:.0f} s")
        ended, _ = os.waitpid(-1, os.WNOHANG)
        if ended in running:
            raise ClusterError(f"{running[ended].name} ended while {part.name} was starting")
        time.sleep(0.1)


def _answers(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


def _mounts(layout: Layout) -> None:
    """Folders whose paths are fixed become the cluster's own; volumes spread among its processes, not beyond."""
    for path in PRIVATE:
        own = layout.folder / "mounts" / path.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(own), path)
    _run("mount", "--make-rshared", "/")


def _network(layout: Layout) -> None:
    """The host moves `node0` into this namespace; then it is the node's one device."""
    limit = time.monotonic() + READY_SECONDS
    while not Path("/proc/sys/net/ipv4/conf/node0").exists():
        if time.monotonic() > limit:
            raise ClusterError("the network device node0 did not appear")
        time.sleep(0.02)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{layout.node_ip}/24", "dev", "node0")
    _run("ip", "link", "set", "node0", "up")
    _run("ip", "route", "add", "default", "via", layout.host_ip)
    settings = ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables")
    for setting in settings:
        path = Path("/proc/sys/net") / setting
        if path.exists():  # the second only where bridges are watched by a module, or can be
            path.write_text("1")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except ClusterError as error:
        sys.exit(str(error))
