"""Gets what a cluster is made of: Debian's packages, and programs built from Go modules, kept in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.cluster.layout import COREDNS, KUBERNETES, SOURCES, ClusterError, cache_folder

PACKAGES = {  # Debian's package: what it brings
    "buildah": "/usr/bin/buildah",
    "conntrack": "/usr/sbin/conntrack",
    "containerd": "/usr/bin/containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debootstrap": "/usr/sbin/debootstrap",
    "docker-registry": "/usr/bin/docker-registry",
    "etcd-server": "/usr/bin/etcd",
    "iproute2": "/usr/bin/ip",
    "iptables": "/usr/sbin/iptables",
    "openssl": "/usr/bin/openssl",
    "runc": "/usr/sbin/runc",
    "skopeo": "/usr/bin/skopeo",
    "socat": "/usr/bin/socat",
}
KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
VERSION = "k8s.io/component-base/version"
STAMPS = f"-X {VERSION}.gitVersion=v{KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34"
BUILD_SECONDS = 1800


@dataclass(frozen=True)
class Program:
    """One to build: `module` is a folder of `go/`, whose go.mod and go.sum lock all that goes into it."""

    name: str
    module: str
    package: str
    version: str


def get(say: Callable[[str], None]) -> None:
    """Everything that is not there yet. Raises `ClusterError` when it cannot be had."""
    _install_packages(say)
    folder = cache_folder() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    programs = [
        Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", KUBERNETES) for name in KUBERNETES_PROGRAMS
    ]
    programs += [
        Program("coredns", "coredns", "github.com/coredns/coredns", COREDNS),
        Program("pause", "pause", ".", "1"),
    ]
    for program in programs:
        _build(folder, program, say)


def _install_packages(say: Callable[[str], None]) -> None:
    """With apt-get. No service that a package brings is started."""
    missing = [package for package, brings in PACKAGES.items() if not Path(brings).exists()]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these packages of Debian are missing, and there is no apt-get: {' '.join(missing)}")
    begun = time.monotonic()
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        ):
            _run(command, Path("/"), {"DEBIAN_FRONTEND": "noninteractive"}, 900)
    finally:
        if ours:
            policy.unlink()
    say(f"installed {' '.join(missing)}: {time.monotonic() - begun:.0f} s")


def _build(folder: Path, program: Program, say: Callable[[str], None]) -> None:
    built, stamp = folder / program.name, folder / f"{program.name}.version"
    if built.exists() and stamp.exists() and stamp.read_text() == program.version:
        return
    if shutil.which("go") is None:
        raise ClusterError(f"{program.name} {program.version} cannot be built: there is no go on PATH")
    say(f"building {program.name} {program.version}")
    begun = time.monotonic()
    part = folder / f".{program.name}.part"
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {STAMPS}"]
    command = ["go", "build", *flags, "-o", str(part), program.package]
    _run(command, SOURCES / "go" / program.module, {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}, BUILD_SECONDS)
    part.replace(built)
    stamp.write_text(program.version)
    say(f"built {program.name}: {time.monotonic() - begun:.0f} s")


def _run(command: list[str], folder: Path, environment: dict[str, str], seconds: float) -> None:
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(command[:2])} has not ended after {seconds:.0f} s") from error
    if ran.returncode:
        raise ClusterError(f"{' '.join(command)} ended with {ran.returncode}:\n{(ran.stdout + ran.stderr)[-3000:]}")
