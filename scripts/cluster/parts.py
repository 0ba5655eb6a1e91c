"""The programs that make up a cluster: their command lines and configuration files, in the order they start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.cluster.layout import Layout, cache_folder


@dataclass(frozen=True)
class Part:
    """A program. The next one starts when this one answers at `ready`, (host, port) or a unix socket."""

    name: str
    command: tuple[str, ...]
    ready: tuple[str, int] | str | None = None


def parts(layout: Layout) -> list[Part]:
    """All of them; their configuration files are written on the way."""
    certificates = layout.certificates
    programs = cache_folder() / "bin"
    configs = layout.folder / "config"
    configs.mkdir(exist_ok=True)

    def kubeconfig(user: str) -> str:
        return str(certificates / f"{user}.kubeconfig")

    return [
        Part(
            "etcd",
            (
                "etcd",
                f"--data-dir={layout.folder / 'etcd'}",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
            ),
            ("127.0.0.1", 2379),
        ),
        Part(
            "registry",
            ("docker-registry", "serve", str(_registry(layout, configs))),
            (layout.node_ip, 5000),
        ),
        Part(
            "kube-apiserver",
            (
                str(programs / "kube-apiserver"),
                "--etcd-servers=http://127.0.0.1:2379",
                f"--advertise-address={layout.node_ip}",
                "--secure-port=6443",
                f"--client-ca-file={certificates / 'ca.crt'}",
                f"--tls-cert-file={certificates / 'apiserver.crt'}",
                f"--tls-private-key-file={certificates / 'apiserver.key'}",
                f"--kubelet-certificate-authority={certificates / 'ca.crt'}",
                f"--kubelet-client-certificate={certificates / 'apiserver-kubelet.crt'}",
                f"--kubelet-client-key={certificates / 'apiserver-kubelet.key'}",
                "--kubelet-preferred-address-types=InternalIP",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={certificates / 'service-account.pub'}",
                f"--service-account-signing-key-file={certificates / 'service-account.key'}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged",
                f"--service-cluster-ip-range={layout.services}",
            ),
            (layout.node_ip, 6443),
        ),
        Part(
            "kube-controller-manager",
            (
                str(programs / "kube-controller-manager"),
                f"--kubeconfig={kubeconfig('controller-manager')}",
                "--allocate-node-cidrs",
                f"--cluster-cidr={layout.pods}",
                "--node-cidr-mask-size=22",
                f"--root-ca-file={certificates / 'ca.crt'}",
                f"--service-account-private-key-file={certificates / 'service-account.key'}",
                "--use-service-account-credentials",
                "--leader-elect=false",
            ),
        ),
        Part(
            "kube-scheduler",
            (
                str(programs / "kube-scheduler"),
                f"--kubeconfig={kubeconfig('scheduler')}",
                "--leader-elect=false",
            ),
        ),
        Part(
            "containerd",
            ("containerd", "--config", str(_containerd(layout, configs))),
            _socket(layout),
        ),
        Part(
            "kubelet",
            (
                str(programs / "kubelet"),
                f"--config={_kubelet(layout, configs)}",
                f"--kubeconfig={kubeconfig('node')}",
                f"--node-ip={layout.node_ip}",
                f"--hostname-override={layout.name}",
            ),
        ),
        Part(
            "kube-proxy",
            (
                str(programs / "kube-proxy"),
                f"--config={_proxy(layout, configs, kubeconfig('proxy'))}",
                f"--hostname-override={layout.name}",
            ),
        ),
        Part("provider", (sys.executable, "-m", "scripts.cluster.provider", layout.name, str(layout.slot))),
    ]


def _socket(layout: Layout) -> str:
    # The file is the mount namespace's own; its path has to stay short wherever the state folder lies.
    return f"/run/containerd/{layout.name}.sock"


def _registry(layout: Layout, configs: Path) -> Path:
    return _written(
        configs / "registry.json",
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(layout.folder / "registry")}, "delete": {"enabled": True}},
            "http": {"addr": layout.registry},
        },
    )


def _containerd(layout: Layout, configs: Path) -> Path:
    hosts = configs / "certs.d" / layout.registry
    hosts.mkdir(parents=True, exist_ok=True)
    server = f"http://{layout.registry}"
    (hosts / "hosts.toml").write_text(f'server = "{server}"\n[host."{server}"]\n  capabilities = ["pull", "resolve"]\n')
    network = configs / "cni"
    _written(
        network / "10-bridge.conflist",
        {
            "cniVersion": "0.4.0",
            "name": layout.name,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "pods0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": layout.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": "/var/lib/cni/networks",
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        },
    )
    # Overlays do not stack everywhere: in a container whose own root is one, layers are copied instead.
    below = subprocess.run(
        ["stat", "-f", "-c", "%T", str(layout.folder)], check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()
    snapshotter = "native" if below == "overlayfs" else "overlayfs"
    path = configs / "containerd.toml"
    path.write_text(f"""\
version = 2
root = "{layout.folder / "containerd"}"
state = "/run/containerd/{layout.name}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{_socket(layout)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{layout.registry}/pause:1"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  enable_unprivileged_ports = false
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{configs / "certs.d"}"
""")
    return path


def _kubelet(layout: Layout, configs: Path) -> Path:
    resolver = configs / "resolv.conf"
    resolver.write_text("")  # pods have the cluster's DNS and nothing beyond
    certificates = layout.certificates
    return _written(
        configs / "kubelet.json",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(certificates / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificates / "kubelet.crt"),
            "tlsPrivateKeyFile": str(certificates / "kubelet.key"),
            "containerRuntimeEndpoint": f"unix://{_socket(layout)}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{layout.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 250,
            "clusterDomain": "cluster.local",
            "clusterDNS": [layout.dns_ip],
            "resolvConf": str(resolver),
            "registryPullQPS": 0,
            "serializeImagePulls": False,
            "volumePluginDir": str(layout.folder / "volume-plugins"),
        },
    )


def _proxy(layout: Layout, configs: Path, kubeconfig: str) -> Path:
    return _written(
        configs / "kube-proxy.json",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": layout.pods,
            "clientConnection": {"kubeconfig": kubeconfig},
            "conntrack": {"maxPerCore": 0},
        },
    )


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
    return path


def cgroups(layout: Layout) -> list[Path]:
    """The cluster's folder in each hierarchy of control groups."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / layout.cgroup]
    return [folder / layout.cgroup for folder in sorted(root.iterdir()) if folder.is_dir() and not folder.is_symlink()]


def create_cgroups(layout: Layout) -> None:
    """The folders below which the kubelet makes its own; it wants them to be there."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        every = (root / "cgroup.controllers").read_text().split()
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in every))
    for folder in cgroups(layout):
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # in version 1 they begin empty, and nothing may run
            if (folder / setting).exists() and not (folder / setting).read_text().strip():
                (folder / setting).write_text((folder.parent / setting).read_text())


def remove_cgroups(layout: Layout) -> None:
    """What the pods left; nothing runs in them any more."""
    for folder in cgroups(layout):
        for below, _, _ in os.walk(folder, topdown=False):
            Path(below).rmdir()


def missing_programs() -> list[str]:
    """Programs that come from the system's packages and are not there."""
    wanted = ("etcd", "containerd", "runc", "docker-registry", "iptables", "conntrack", "openssl", "ip", "unshare")
    missing = [name for name in wanted if shutil.which(name) is None]
    return missing if Path("/usr/lib/cni/bridge").exists() else [*missing, "/usr/lib/cni/bridge"]
