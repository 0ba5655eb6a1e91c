"""Certificates by openssl, and kubeconfigs that hold them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

from scripts.cluster.layout import Layout

DAYS = "3650"
CLIENTS = {  # part: who it is to the API server
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
    "apiserver-kubelet": "/O=system:masters/CN=apiserver-kubelet",
}


def create(layout: Layout) -> None:
    """All keys, certificates and kubeconfigs of a new cluster."""
    folder = layout.certificates
    folder.mkdir(parents=True, mode=0o700)
    _openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
        "-subj", f"/CN={layout.name}", "-keyout", "ca.key", "-out", "ca.crt",
    )  # fmt: skip
    _openssl(folder, "genrsa", "-out", "service-account.key", "2048")
    _openssl(folder, "rsa", "-in", "service-account.key", "-pubout", "-out", "service-account.pub")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    addresses = [layout.node_ip, layout.api_service_ip, "127.0.0.1"]
    _issue(folder, "apiserver", "/CN=kube-apiserver", [f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses])
    _issue(folder, "kubelet", f"/CN={layout.name}", [f"DNS:{layout.name}", f"IP:{layout.node_ip}"])
    for name, subject in {**CLIENTS, "node": f"/O=system:nodes/CN=system:node:{layout.name}"}.items():
        _issue(folder, name, subject, [])
        _kubeconfig(layout, name, folder / f"{name}.kubeconfig")
    _kubeconfig(layout, "admin", layout.kubeconfig)


def _issue(folder: Path, name: str, subject: str, alternatives: list[str]) -> None:
    lines = ["basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
    if alternatives:
        lines.append(f"subjectAltName={','.join(alternatives)}")
    extensions = folder / f"{name}.ext"
    extensions.write_text("\n".join(lines))
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
        "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", DAYS, "-extfile", extensions.name, "-out", f"{name}.crt",
    )  # fmt: skip


def _kubeconfig(layout: Layout, user: str, path: Path) -> None:
    """The certificates themselves are in it, so that it can be copied."""
    folder = layout.certificates
    cluster = {"server": layout.api, "certificate-authority-data": _base64(folder / "ca.crt")}
    credentials = {
        "client-certificate-data": _base64(folder / f"{user}.crt"),
        "client-key-data": _base64(folder / f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": layout.name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": layout.name, "context": {"cluster": layout.name, "user": user}}],
        "current-context": layout.name,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
