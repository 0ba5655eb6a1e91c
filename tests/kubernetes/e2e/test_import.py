"""A tutorial's YAML, imported and brought up: its programs and the names that they call stay as they are."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.kubernetes.e2e.shop import Shop, until
from tests.kubernetes.e2e.visitors import visitors

pytestmark = pytest.mark.xdist_group("import on a cluster")
SERVER = """\
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

def text():
    {body}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = text().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.send_header("x-release", said.decode())
        self.end_headers()
        self.wfile.write(said)

ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
CALLS = 'return "page of " + urlopen("http://sample-app-backend-service", timeout=5).read().decode()'
YAML = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - name: {name}
          image: {image}
          ports: [{{containerPort: 8080}}]
          resources: {{limits: {{memory: 64Mi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: sample-app-{name}-service}}
spec:
  type: {kind}
  selector: {{app: {name}}}
  ports: [{{protocol: TCP, port: 80, targetPort: 8080}}]
"""


class Images:
    """Somebody's images, with tags, in the cluster's registry."""

    def __init__(self, shop: Shop, buildah: list[str], folder: Path) -> None:
        self._shop = shop
        self._buildah = buildah
        self._folder = folder
        self._run = uuid.uuid4().hex[:8]

    def push(self, name: str, tag: str, body: str) -> str:
        """By its tag; programs start with what the image says."""
        context = self._folder / f"{name}-{tag}"
        context.mkdir()
        (context / "server.py").write_text(SERVER.format(body=body))
        (context / "Dockerfile").write_text(
            f"FROM {self._shop.cluster.images['base']}\nCOPY server.py /server.py\nUSER 65532\n"
            'CMD ["python3", "-u", "/server.py"]\n'
        )
        image = f"{self._shop.cluster.registry}/tutorial-{self._run}-{name}:{tag}"
        flags = ("--isolation", "chroot", "--tls-verify=false", "--tag", image)
        for command in (("build", "-q", *flags, str(context)), ("push", "-q", "--tls-verify=false", image)):
            done = subprocess.run([*self._buildah, *command], capture_output=True, text=True, timeout=90, check=False)
            assert done.returncode == 0, done.stderr
        return image


def test_a_tutorial_is_imported_comes_up_and_its_hard_coded_calls_follow_a_switch(
    made: Callable[[], Shop], buildah: list[str], tmp_path: Path
) -> None:
    """Three replicas each, a LoadBalancer before the page; the page calls the backend by the name of its Service."""
    shop = made()
    cluster, namespace = shop.cluster, shop.namespace("dev")
    images = Images(shop, buildah, tmp_path)
    yaml = shop.root / "k8s"
    yaml.mkdir()
    for name, kind, body in (("backend", "ClusterIP", 'return "backend 1"'), ("frontend", "LoadBalancer", CALLS)):
        image = images.push(name, "1", body)
        (yaml / f"{name}.yaml").write_text(YAML.format(name=name, kind=kind, image=image))
    shop.run("import", "k8s", "--context", cluster.context, "--namespace", namespace, "--yes")
    shop.commit()
    try:
        shop.run("check")
        shop.run("up", "dev")
        url = shop.url("frontend", "dev")
        until("the page is there", lambda: httpx.get(url, trust_env=False, timeout=10).text == "page of backend 1")

        (manifest,) = (path for path in shop.root.rglob("service.yaml") if "-backend:1@" in path.read_text())
        text = manifest.read_text()
        (old,) = (word.strip("'\"") for word in text.split() if "-backend:1@" in word)
        second = images.push("backend", "2", 'return "backend 2"')
        manifest.write_text(text.replace(old, f"{second}@{_digest(second)}"))
        shop.commit()
        with visitors(url) as crowd:
            crowd.come(20)
            shop.run("up", "dev")
            crowd.come(20)
        assert crowd.failed == []
        assert list(dict.fromkeys(crowd.answers)) == [("page of backend 1", ""), ("page of backend 2", "")]
    finally:
        shop.kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", namespace)


def _digest(image: str) -> str:
    host, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    found = httpx.head(f"http://{host}/v2/{repository}/manifests/{tag}", headers=accepted, trust_env=False)
    return found.raise_for_status().headers["docker-content-digest"]
