"""What the pod security standard `restricted` wants, and what programs get besides."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

VOLUME_GROUP = 65532
"""Owns volumes, so that a program may write to them under any user."""

CONTAINER: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod_security(*, volume: bool, port: int) -> Json:
    """`volume`: it writes to one that outlives it. `port`: where it listens, 0 for nowhere."""
    found: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if volume:
        found |= {"fsGroup": VOLUME_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
    if 0 < port < 1024:  # who is not root may not listen there, unless the pod says so
        found["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    return found
