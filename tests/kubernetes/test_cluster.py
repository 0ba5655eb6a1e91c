"""What the other tests rely on: pods run, names resolve, storage binds, images come from the registry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import yaml
from lightkube import Client, codecs
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod, Service

from tests.kubernetes.cluster import Cluster

WITHIN = 90.0  # seconds; never near

# A server that says what another one, found by name, says; under the strictest pod security.
SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: NAME
          image: IMAGE
          command: [python3, -c, PROGRAM]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts: []
      volumes: []
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {type: KIND, selector: {app: NAME}, ports: [{port: 80, targetPort: 8080}]}
"""
PROGRAM = """
import http.server, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ANSWER
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def test_a_service_is_found_by_its_name_within_the_cluster_and_answers_outside_at_its_node_port(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    """In all three forms of a name; the answer has come through the DNS, a Service and two pods."""
    names = ["backend", f"backend.{namespace}", f"backend.{namespace}.svc.cluster.local"]
    asking = f"answer = b' '.join(urllib.request.urlopen('http://' + name, timeout=5).read() for name in {names})"
    _serve(client, cluster, "backend", "answer = b'hello'")
    _serve(client, cluster, "frontend", asking)
    _until(lambda: _available(client, "backend") and _available(client, "frontend"))

    def answers() -> bool:
        url = f"http://{cluster.node_ip}:{_node_port(client, 'frontend')}/"
        try:
            return httpx2.get(url, timeout=10, trust_env=False).text == "hello hello hello"
        except httpx2.HTTPError:
            return False  # the node learns of endpoints a moment after the API server does

    _until(answers)


def test_a_load_balancer_gets_an_address_at_which_this_machine_reaches_it(cluster: Cluster, client: Client) -> None:
    """As a cloud would give it one; most local clusters have none, so it is promised of ours alone."""
    if os.environ.get("TIDEGATE_TEST_CONTEXT"):
        pytest.skip("the cluster is the user's own, and may give no addresses")
    _serve(client, cluster, "shop", "answer = b'hello'", kind="LoadBalancer")
    _until(lambda: _available(client, "shop"))

    def answers() -> bool:
        status = client.get(Service, "shop").status
        given = (status.loadBalancer.ingress if status and status.loadBalancer else None) or []
        try:
            return bool(given) and httpx2.get(f"http://{given[0].ip}/", timeout=10, trust_env=False).text == "hello"
        except httpx2.HTTPError:
            return False

    _until(answers)


def test_what_a_pod_writes_to_its_claim_is_there_for_the_next_pod(cluster: Cluster, client: Client) -> None:
    """The claim names no class, and so gets the cluster's own."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    client.create(codecs.from_dict({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}))
    counting = "open('/data/lines', 'a').write('x'); answer = open('/data/lines').read().encode()"
    _serve(client, cluster, "counter", counting, claim="data")
    _until(lambda: _available(client, "counter"))
    assert _first_answer(client, cluster, "counter") == "x"
    (former,) = client.list(Pod, labels={"app": "counter"})
    assert former.metadata is not None
    assert former.metadata.name is not None
    former_name = former.metadata.name
    client.delete(Pod, former_name, grace_period=0)

    def replaced() -> bool:
        names = [pod.metadata.name for pod in client.list(Pod, labels={"app": "counter"}) if pod.metadata]
        return len(names) == 1 and former_name not in names and _available(client, "counter")

    _until(replaced)
    assert _first_answer(client, cluster, "counter") == "xx"


def test_the_cluster_says_where_its_registry_is_and_the_registry_has_the_images(cluster: Cluster) -> None:
    """By the convention of local clusters; every image is there under the digest that tests pin."""
    with cluster.client() as client:
        found = client.get(ConfigMap, "local-registry-hosting", namespace="kube-public")
    assert yaml.safe_load((found.data or {})["localRegistryHosting.v1"])["host"] == cluster.registry
    for name in ("base", "gateway"):
        repository, _, digest = cluster.images[name].removeprefix(f"{cluster.registry}/").partition("@")
        answer = httpx2.head(
            f"http://{cluster.registry}/v2/{repository}/manifests/{digest}",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
            trust_env=False,
        )
        assert (answer.status_code, answer.headers["docker-content-digest"]) == (200, digest)


def test_the_gateway_image_runs_envoy_as_a_plain_user_on_a_read_only_root(cluster: Cluster, client: Client) -> None:
    """It checks a configuration, and says that it is right."""
    pod: dict[str, Any] = {
        "metadata": {"name": "gateway"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "gateway",
                    "image": cluster.images["gateway"],
                    "args": ["--mode", "validate", "--config-yaml", "{}"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    client.create(codecs.from_dict({"apiVersion": "v1", "kind": "Pod", **pod}))

    def ended() -> bool:
        status = client.get(Pod, "gateway").status
        return status is not None and status.phase in {"Succeeded", "Failed"}

    _until(ended)
    assert "configuration '' OK" in "".join(client.log("gateway"))


def _serve(
    client: Client, cluster: Cluster, name: str, answer: str, *, claim: str = "", kind: str = "NodePort"
) -> None:
    """A Deployment of one pod, and a Service, of that name."""
    text = SERVER.replace("NAME", name).replace("IMAGE", cluster.images["base"]).replace("KIND", kind)
    deployment, service = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["command"][2] = PROGRAM.replace("ANSWER", answer)
    if claim:
        pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
        pod["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    for found in (deployment, service):
        client.create(codecs.from_dict(found))


def _available(client: Client, name: str) -> bool:
    status = client.get(Deployment, name).status
    return status is not None and status.availableReplicas == 1


def _node_port(client: Client, name: str) -> int:
    spec = client.get(Service, name).spec
    assert spec is not None
    assert spec.ports
    assert spec.ports[0].nodePort is not None
    return spec.ports[0].nodePort


def _first_answer(client: Client, cluster: Cluster, name: str) -> str:
    """Tried until the node knows the pod; a server that is reached answers once."""
    limit = time.monotonic() + WITHIN
    while True:
        try:
            return httpx2.get(f"http://{cluster.node_ip}:{_node_port(client, name)}/", timeout=10, trust_env=False).text
        except httpx2.HTTPError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def _until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.2)
