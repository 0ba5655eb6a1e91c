"""The kinds of objects that the driver works with, and where the API serves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.errors import TargetError


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One kind: `api_version` such as `apps/v1`, `plural` as in paths and permissions."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core."""
        group, slash, _ = self.api_version.partition("/")
        return group if slash else ""

    def path(self, namespace: str = "", name: str = "") -> str:
        """Where the API serves all objects of the kind, those of a namespace, or one of them."""
        parts = ["apis" if "/" in self.api_version else "api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *([name] if name else [])])


NAMESPACE = ApiKind("v1", "Namespace", "namespaces", namespaced=False)
NODE = ApiKind("v1", "Node", "nodes", namespaced=False)
CONFIG_MAP = ApiKind("v1", "ConfigMap", "configmaps")
EVENT = ApiKind("v1", "Event", "events")
LIMIT_RANGE = ApiKind("v1", "LimitRange", "limitranges")
POD = ApiKind("v1", "Pod", "pods")
PVC = ApiKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
RESOURCE_QUOTA = ApiKind("v1", "ResourceQuota", "resourcequotas")
SECRET = ApiKind("v1", "Secret", "secrets")
SERVICE = ApiKind("v1", "Service", "services")
SERVICE_ACCOUNT = ApiKind("v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = ApiKind("apps/v1", "Deployment", "deployments")
REPLICA_SET = ApiKind("apps/v1", "ReplicaSet", "replicasets")
STATEFUL_SET = ApiKind("apps/v1", "StatefulSet", "statefulsets")
HPA = ApiKind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
JOB = ApiKind("batch/v1", "Job", "jobs")
ENDPOINT_SLICE = ApiKind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
HTTP_ROUTE = ApiKind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
INGRESS = ApiKind("networking.k8s.io/v1", "Ingress", "ingresses")
NETWORK_POLICY = ApiKind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
PDB = ApiKind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
CLUSTER_ROLE = ApiKind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = ApiKind(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
ROLE = ApiKind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = ApiKind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
STORAGE_CLASS = ApiKind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)

KINDS: Mapping[tuple[str, str], ApiKind] = {
    (each.api_version, each.kind): each for each in list(globals().values()) if isinstance(each, ApiKind)
}


def kind_of(obj: Mapping[str, Any]) -> ApiKind:
    """The kind of an object, by what it says of itself. Raises `TargetError` for one that is not among `KINDS`."""
    found = KINDS.get((str(obj.get("apiVersion", "")), str(obj.get("kind", ""))))
    if found is None:
        raise TargetError(
            f"cannot use {obj.get('kind', 'an object without kind')}",
            f"The driver for Kubernetes does not know {obj.get('apiVersion', '?')}/{obj.get('kind', '?')}.",
        )
    return found
