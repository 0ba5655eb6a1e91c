"""What a cloud gives to a cluster, here by one small process: folders for volume claims, addresses for load balancers.

Run inside the cluster's namespaces, as administrator: `python -m scripts.cluster.provider NAME SLOT`. It looks at all
objects every half second; a cluster for tests has few enough of them.
"""

from __future__ import annotations

import ipaddress
import shutil
import sys
import time

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    LoadBalancerIngress,
    LoadBalancerStatus,
    ObjectReference,
    PersistentVolumeSpec,
    ServiceStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim, Service
from scripts.cluster.layout import Layout

CLASS = "standard"
PROVISIONER = "tidegate.test/folders"
SECONDS = 0.5


def main(layout: Layout) -> None:
    """Until it is killed. What goes wrong is written to its log and tried again."""
    client = Client(config=KubeConfig.from_file(layout.kubeconfig), field_manager="provider", trust_env=False)
    while True:
        try:
            _remove_released(client, layout)
            _provide_volumes(client, layout)
            _provide_addresses(client, layout)
        except (ApiError, httpx2.HTTPError, OSError) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        time.sleep(SECONDS)


def _provide_volumes(client: Client, layout: Layout) -> None:
    """A folder, and a volume that is it, for each claim that waits for one."""
    for claim in client.list(PersistentVolumeClaim, namespace="*"):
        if claim.spec is None or claim.metadata is None or claim.spec.storageClassName != CLASS:
            continue
        if claim.spec.volumeName or claim.metadata.deletionTimestamp:
            continue
        name = f"pvc-{claim.metadata.uid}"
        folder = layout.volumes / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # any user of a pod, as long as the class says nothing of groups
        reference = ObjectReference(
            apiVersion="v1",
            kind="PersistentVolumeClaim",
            name=claim.metadata.name,
            namespace=claim.metadata.namespace,
            uid=claim.metadata.uid,
        )
        requested = claim.spec.resources.requests if claim.spec.resources else None
        spec = PersistentVolumeSpec(
            accessModes=claim.spec.accessModes,
            capacity=requested,
            claimRef=reference,
            hostPath=HostPathVolumeSource(path=str(folder)),
            persistentVolumeReclaimPolicy="Delete",  # by whom it names, that is, `_remove_released`
            storageClassName=CLASS,
        )
        metadata = ObjectMeta(name=name, annotations={"pv.kubernetes.io/provisioned-by": PROVISIONER})
        try:
            client.create(PersistentVolume(metadata=metadata, spec=spec))
        except ApiError as error:
            if error.status.code != 409:  # made in the round before; binding it takes the cluster a moment
                raise


def _remove_released(client: Client, layout: Layout) -> None:
    """Volumes whose claims are gone, with what was in them."""
    for volume in client.list(PersistentVolume):
        metadata = volume.metadata
        if metadata is None or metadata.name is None or volume.status is None or volume.status.phase != "Released":
            continue
        if (metadata.annotations or {}).get("pv.kubernetes.io/provisioned-by") == PROVISIONER:
            shutil.rmtree(layout.volumes / metadata.name, ignore_errors=True)
            client.delete(PersistentVolume, metadata.name)


def _provide_addresses(client: Client, layout: Layout) -> None:
    """The first free address for each Service of type LoadBalancer that has none; the node answers at all of them."""
    services = [found for found in client.list(Service, namespace="*") if found.spec and found.metadata]
    balancers = [service for service in services if service.spec and service.spec.type == "LoadBalancer"]
    taken = {
        ingress.ip
        for service in balancers
        if service.status and service.status.loadBalancer
        for ingress in service.status.loadBalancer.ingress or []
    }
    for service in balancers:
        metadata = service.metadata
        if metadata is None or metadata.name is None or metadata.deletionTimestamp:
            continue
        if service.status and service.status.loadBalancer and service.status.loadBalancer.ingress:
            continue
        free = next(str(ip) for ip in ipaddress.ip_network(layout.load_balancers).hosts() if str(ip) not in taken)
        taken.add(free)
        status = ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=[LoadBalancerIngress(ip=free)]))
        client.patch(Service.Status, metadata.name, Service.Status(status=status), namespace=metadata.namespace)


if __name__ == "__main__":
    main(Layout(sys.argv[1], int(sys.argv[2])))
