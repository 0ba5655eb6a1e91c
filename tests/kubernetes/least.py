"""Somebody who may do what `tidegate rbac` prints, and nothing else: for tests that run under exactly that."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightkube import Client, codecs
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from tests.kubernetes.cluster import Cluster
from tidegate.drivers.kubernetes.names import fit
from tidegate.drivers.kubernetes.permissions import ACCOUNT, REGISTRY_NAMESPACE, permission_objects, rules

CONTEXT = "least"
FIELD_MANAGER = "tests"
AN_HOUR = 3600


def least(
    cluster: Cluster, namespace: str, folder: Path, *, objects: Sequence[Mapping[str, Any]] | None = None
) -> Path:
    """A kubeconfig whose context `CONTEXT` is a ServiceAccount with these rights (without `objects`: with what the
    environment in this namespace needs). The namespace has to be there; what is cluster-wide is deleted by `forget`."""
    wanted = permission_objects("stage", namespace, rules(namespace)) if objects is None else objects
    with cluster.client(namespace) as admin:
        for each in wanted:
            admin.apply(codecs.from_dict(dict(each)), field_manager=FIELD_MANAGER, force=True)
        return _kubeconfig(admin, cluster, namespace, folder)


def forget(cluster: Cluster, namespace: str) -> None:
    """Delete what is not in the namespace itself."""
    name = fit(f"tidegate-{namespace}")
    with cluster.client() as admin:
        admin.delete(ClusterRoleBinding, name)
        admin.delete(ClusterRole, name)
        admin.delete(RoleBinding, name, namespace=REGISTRY_NAMESPACE)
        admin.delete(Role, name, namespace=REGISTRY_NAMESPACE)


def _kubeconfig(admin: Client, cluster: Cluster, namespace: str, folder: Path) -> Path:
    asked = ServiceAccount.Token(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[], expirationSeconds=AN_HOUR))
    answer = admin.create(asked, name=ACCOUNT, namespace=namespace)
    assert answer.status is not None
    known = yaml.safe_load(cluster.kubeconfig.read_text())
    context = next(each["context"] for each in known["contexts"] if each["name"] == cluster.context)
    server = next(each["cluster"] for each in known["clusters"] if each["name"] == context["cluster"])
    if authority := server.pop("certificate-authority", ""):
        content = (cluster.kubeconfig.parent / authority).read_bytes()
        server["certificate-authority-data"] = base64.b64encode(content).decode()
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": server}],
        "users": [{"name": CONTEXT, "user": {"token": answer.status.token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}],
    }
    path = folder / "least.kubeconfig"
    path.write_text(yaml.safe_dump(made))
    path.chmod(0o600)
    return path
