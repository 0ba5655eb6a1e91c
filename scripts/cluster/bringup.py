"""Starts a cluster and waits until it is of use; ends one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import httpx2
from lightkube import ApiError, Client, KubeConfig, codecs
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Node, ServiceAccount
from scripts.cluster import credentials, images
from scripts.cluster.layout import SOURCES, ClusterError, Layout
from scripts.cluster.parts import create_cgroups, remove_cgroups

READY_SECONDS = 180.0
END_SECONDS = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Condition:
    """What is waited for, and whose logs tell why it does not come."""

    name: str
    parts: tuple[str, ...] = ()


NETWORK = Condition("the cluster has its own network")
REGISTRY = Condition("the registry answers", ("registry",))
API = Condition("the API server answers", ("etcd", "kube-apiserver"))
CONTROLLERS = Condition("namespaces have their service account", ("kube-controller-manager",))
NODE = Condition("the node is ready", ("containerd", "kubelet"))
NAMES = Condition("names resolve", ("containerd", "kube-proxy", "kubelet"))


def alive(layout: Layout) -> bool:
    """Whether the first process is the one that was started, and so all that belongs to it is there."""
    try:
        written = json.loads(layout.process.read_text())
    except FileNotFoundError:
        return False
    return bool(_started(written["pid"]) == written["started"])


def wait_until_ready(layout: Layout, seconds: float = READY_SECONDS) -> None:
    """Until pods run and names resolve. Raises `ClusterError` when that takes longer."""
    limit = time.monotonic() + seconds
    client = _client(layout)
    for what, holds in (
        (API, lambda: client.get(Namespace, "default") is not None),
        (CONTROLLERS, lambda: client.get(ServiceAccount, "default", namespace="default") is not None),
        (NODE, lambda: _node_ready(client, layout)),
        (NAMES, lambda: _dns_ready(client)),
    ):
        _until(layout, what, holds, limit)


def start(layout: Layout, say: Say) -> None:
    """A new cluster. When it does not get ready what runs of it stays, to be looked at, and the next start ends it."""
    if layout.folder.exists():
        say("a former cluster left something; removing it")
        stop(layout)
    layout.logs.mkdir(parents=True)
    timer = _Timer(say)
    credentials.create(layout)
    timer.done("certificates")
    create_cgroups(layout)
    _first_process(layout)
    _connect(layout)
    limit = time.monotonic() + READY_SECONDS
    _until(layout, REGISTRY, lambda: _status(f"http://{layout.registry}/v2/") == 200, limit)
    timer.done("registry")
    references = {image.name: images.push(image, layout.registry) for image in images.wanted()}
    layout.images.write_text(json.dumps(references, indent=2))
    timer.done("images")
    client = _client(layout)
    _until(layout, API, lambda: client.get(Namespace, "kube-public") is not None, limit)
    timer.done("API server")
    _create_objects(client, layout, references)
    wait_until_ready(layout)
    timer.done("node and DNS")
    description = {
        "kubeconfig": str(layout.kubeconfig),
        "context": layout.name,
        "registry": layout.registry,
        "node_ip": layout.node_ip,
        "images": references,
    }
    layout.description.write_text(json.dumps(description, indent=2))
    say(f"ready after {timer.total():.0f} s")


def stop(layout: Layout) -> None:
    """Ends every process of it, by ending the first, and removes what it wrote. Nothing happens when there is none."""
    if alive(layout):
        os.kill(json.loads(layout.process.read_text())["pid"], signal.SIGKILL)
        limit = time.monotonic() + END_SECONDS
        while alive(layout):
            if time.monotonic() > limit:
                raise ClusterError(f"the first process does not end; see {layout.process}")
            time.sleep(0.05)
    limit = time.monotonic() + END_SECONDS
    while True:
        try:
            remove_cgroups(layout)
            break
        except OSError as error:  # busy, as long as the last of its processes ends
            if time.monotonic() > limit:
                raise ClusterError(f"processes of the cluster do not end: {error}") from error
            time.sleep(0.1)
    # The device goes with the network it leads to, unless the first process never got it.
    subprocess.run(["ip", "link", "delete", layout.device], check=False, capture_output=True, timeout=30)
    shutil.rmtree(layout.folder, ignore_errors=True)
    if layout.folder.exists():
        shutil.rmtree(layout.folder)


def last_lines(layout: Layout, parts: Collection[str] = (), lines: int = 15) -> str:
    """The ends of the logs of those parts, or of all, for who has to find out why it does not work."""
    ends = []
    for log in sorted(layout.logs.glob("*")):
        if log.name in parts or not parts:
            end = log.read_text(errors="replace").splitlines()[-lines:]
            ends += [f"--- {log}", *(line[:300] for line in end)]
    return "\n".join(ends)


def _first_process(layout: Layout) -> None:
    log = (layout.logs / "first").open("ab")
    process = subprocess.Popen(
        [
            "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--mount-proc",
            sys.executable, "-m", "scripts.cluster.inside", layout.name, str(layout.slot),
        ],
        cwd=SOURCES.parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    log.close()
    layout.process.write_text(json.dumps({"pid": process.pid, "started": _started(process.pid)}))


def _connect(layout: Layout) -> None:
    """A pair of devices between the host and the cluster, and the host's routes to all that is behind the node."""
    pid = json.loads(layout.process.read_text())["pid"]
    own = Path("/proc/self/ns/net").readlink()
    _until(
        layout,
        NETWORK,
        lambda: Path(f"/proc/{pid}/ns/net").readlink() != own,
        time.monotonic() + END_SECONDS,
    )
    for command in (
        f"link add {layout.device} type veth peer name node0 netns {pid}",
        f"address add {layout.host_ip}/24 dev {layout.device}",
        f"link set {layout.device} up",
        f"route add {layout.pods} via {layout.node_ip}",
        f"route add {layout.services} via {layout.node_ip}",
        f"route add {layout.load_balancers} via {layout.node_ip}",
    ):
        ran = subprocess.run(["ip", *command.split()], check=False, capture_output=True, text=True, timeout=30)
        if ran.returncode:
            raise ClusterError(f"ip {command}: {ran.stderr.strip()}")


def _create_objects(client: Client, layout: Layout, references: dict[str, str]) -> None:
    text = string.Template((SOURCES / "objects.yaml").read_text()).substitute(
        registry=layout.registry, dns_ip=layout.dns_ip, coredns=references["coredns"]
    )
    for found in codecs.load_all_yaml(text):
        client.apply(found, field_manager="cluster")


def _client(layout: Layout) -> Client:
    return Client(config=KubeConfig.from_file(layout.kubeconfig), timeout=httpx2.Timeout(10), trust_env=False)


def _node_ready(client: Client, layout: Layout) -> bool:
    status = client.get(Node, layout.name).status
    conditions = status.conditions or [] if status else []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def _dns_ready(client: Client) -> bool:
    status = client.get(Deployment, "coredns", namespace="kube-system").status
    return bool(status and status.availableReplicas)


def _status(url: str) -> int:
    return httpx2.get(url, timeout=5, trust_env=False).status_code


def _until(layout: Layout, what: Condition, holds: Callable[[], bool], limit: float) -> None:
    while True:
        failure = ""
        try:
            if holds():
                return
        except (ApiError, httpx2.HTTPError) as error:
            failure = f" ({type(error).__name__}: {error})"
        if not alive(layout) or time.monotonic() > limit:
            why = "in time" if alive(layout) else "since the first process ended"
            raise ClusterError(f"not so {why}: {what.name}{failure}\n{last_lines(layout, ('first', *what.parts))}")
        time.sleep(0.2)


def _started(pid: int) -> str:
    """When the kernel started that process, so that another one that got its number is told apart; "" for none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


class _Timer:
    """Says how long each part took."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun = self._last = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        self._say(f"{what}: {now - self._last:.1f} s")
        self._last = now

    def total(self) -> float:
        return time.monotonic() - self._begun
