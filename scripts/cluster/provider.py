"""What a cloud gives to a cluster, here by one small process: folders for volume claims, addresses for load balancers.

Run inside the cluster's namespaces, as administrator: `python -m scripts.cluster.provider NAME SLOT`.
"""

from __future__ import annotations

import ipaddress
import shutil
import sys
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

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
SECONDS = 0.5  # between a watch that ended and the next

Handle = Callable[[Client, Layout, Any], None]


def main(layout: Layout) -> None:
    """Until it is killed, or something unforeseen happens; then it is started again, with all it does."""
    ended = Event()
    followers: list[tuple[type[Any], str | None, Handle]] = [
        (PersistentVolumeClaim, "*", _provide_volume),
        (PersistentVolume, None, _remove_released),
        (Service, "*", _provide_address),
    ]

    def follow(kind: type[Any], namespace: str | None, handle: Handle) -> None:
        try:
            _follow(layout, kind, namespace, handle)
        finally:
            ended.set()

    for follower in followers:
        Thread(target=follow, args=follower, daemon=True).start()
    ended.wait()
    sys.exit(1)


def _follow(layout: Layout, kind: type[Any], namespace: str | None, handle: Handle) -> None:
    """Handles each object of that kind as it is, and as it becomes; all of them again after an error."""
    config = KubeConfig.from_file(layout.kubeconfig)
    while True:
        try:
            with Client(config=config, field_manager="provider", trust_env=False) as client:
                for change, found in client.watch(kind, namespace=namespace):
                    if change != "DELETED":
                        handle(client, layout, found)
        except (ApiError, httpx2.HTTPError, OSError) as error:
            print(f"{kind.__name__}: {type(error).__name__}: {error}", flush=True)
        time.sleep(SECONDS)


def _provide_volume(client: Client, layout: Layout, claim: PersistentVolumeClaim) -> None:
    """A folder, and a volume that is it, for a claim that waits for one."""
    if claim.spec is None or claim.metadata is None or claim.spec.storageClassName != CLASS:
        return
    if claim.spec.volumeName or claim.metadata.deletionTimestamp:
        return
    name = f"pvc-{claim.metadata.uid}"
    folder = layout.volumes / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # any user of a pod, since a hostPath heeds no fsGroup
    reference = ObjectReference(
        apiVersion="v1",
        kind="PersistentVolumeClaim",
        name=claim.metadata.name,
        namespace=claim.metadata.namespace,
        uid=claim.metadata.uid,
    )
    spec = PersistentVolumeSpec(
        accessModes=claim.spec.accessModes,
        capacity=claim.spec.resources.requests if claim.spec.resources else None,
        claimRef=reference,
        hostPath=HostPathVolumeSource(path=str(folder)),
        persistentVolumeReclaimPolicy="Delete",  # by whom it names, that is, `_remove_released`
        storageClassName=CLASS,
    )
    metadata = ObjectMeta(name=name, annotations={"pv.kubernetes.io/provisioned-by": PROVISIONER})
    try:
        client.create(PersistentVolume(metadata=metadata, spec=spec))
    except ApiError as error:
        if error.status.code != 409:  # made when the claim was seen before; binding takes the cluster a moment
            raise


def _remove_released(client: Client, layout: Layout, volume: PersistentVolume) -> None:
    """A volume whose claim is gone, with what was in it."""
    metadata = volume.metadata
    if metadata is None or metadata.name is None or volume.status is None or volume.status.phase != "Released":
        return
    if (metadata.annotations or {}).get("pv.kubernetes.io/provisioned-by") != PROVISIONER:
        return
    if metadata.deletionTimestamp is None:
        shutil.rmtree(layout.volumes / metadata.name, ignore_errors=True)
        client.delete(PersistentVolume, metadata.name)


def _provide_address(client: Client, layout: Layout, service: Service) -> None:
    """The first free address for a Service of type LoadBalancer that has none; the node answers at all of them."""
    metadata = service.metadata
    if metadata is None or metadata.name is None or metadata.deletionTimestamp:
        return
    if service.spec is None or service.spec.type != "LoadBalancer" or _addresses(service):
        return
    taken = {address for other in client.list(Service, namespace="*") for address in _addresses(other)}
    free = next(str(ip) for ip in ipaddress.ip_network(layout.load_balancers).hosts() if str(ip) not in taken)
    status = ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=[LoadBalancerIngress(ip=free)]))
    client.patch(Service.Status, metadata.name, Service.Status(status=status), namespace=metadata.namespace)


def _addresses(service: Service) -> list[str]:
    balancer = service.status.loadBalancer if service.status else None
    return [ingress.ip for ingress in (balancer.ingress if balancer else None) or [] if ingress.ip]


if __name__ == "__main__":
    main(Layout(sys.argv[1], int(sys.argv[2])))
