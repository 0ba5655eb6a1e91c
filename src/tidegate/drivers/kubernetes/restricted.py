"""The pod security standard `restricted`, as far as a manifest's patches can break it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_SECCOMP = frozenset({"RuntimeDefault", "Localhost"})


def violations(pod: Mapping[str, Any]) -> list[str]:
    """What of a pod's `spec` the standard does not allow, in words; nothing if it is fine."""
    found = [f"{key} may not be true" for key in _HOST if pod.get(key)]
    for volume in pod.get("volumes") or []:
        found += [f"volume {volume['name']}: {kind} is not allowed" for kind in volume.keys() - {"name"} - _VOLUMES]
    shared = pod.get("securityContext") or {}
    for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
        name, own = container["name"], container.get("securityContext") or {}
        found += [f"container {name}: {line}" for line in _container(shared, own)]
        if any(port.get("hostPort") for port in container.get("ports") or []):
            found.append(f"container {name}: hostPort is not allowed")
    return sorted(found)


def _container(shared: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    found = []
    if own.get("privileged"):
        found.append("privileged may not be true")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation has to be false")
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        found.append("capabilities.drop has to have ALL")
    if extra := set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        found.append(f"capabilities.add may not have {', '.join(sorted(extra))}")
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        found.append("runAsNonRoot has to be true")
    if own.get("runAsUser", shared.get("runAsUser")) == 0:
        found.append("runAsUser may not be 0")
    profile = own.get("seccompProfile") or shared.get("seccompProfile") or {}
    if profile.get("type") not in _SECCOMP:
        found.append("seccompProfile.type has to be RuntimeDefault or Localhost")
    return found
