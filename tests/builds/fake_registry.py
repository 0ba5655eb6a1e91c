"""A registry on loopback that can be told to misbehave; it keeps what is pushed in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class FakeRegistry:
    """`user` ("" for nobody) is who gets in, `auth` how it says so: "Basic" or "Bearer". `busy` is how often it is too
    busy for each request. `deletes` False: it deletes nothing. `content` is type and bytes by repository and digest."""

    host: str = ""
    user: str = ""
    password: str = ""
    auth: str = "Bearer"
    busy: int = 0
    deletes: bool = True
    content: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)

    def put(self, repository: str, content: bytes, kind: str = MANIFEST) -> dict[str, Any]:
        """Its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.content[repository, digest] = (kind, content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def put_image(
        self, repository: str, *, layer: bytes = b"a layer", labels: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The descriptor of its manifest."""
        config = {"os": "linux", "architecture": "amd64", "config": {"Labels": dict(labels or {})}}
        blobs = [self.put(repository, json.dumps(config).encode(), "config"), self.put(repository, layer, "layer")]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:]}
        return self.put(repository, json.dumps(manifest).encode())

    def put_index(self, repository: str, *manifests: dict[str, Any]) -> dict[str, Any]:
        """The descriptor of an index of images."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        return self.put(repository, json.dumps(index).encode(), INDEX)


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        registry, parts = self.registry, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path == "/token":
            return self._token()
        registry.asked.append(f"{self.command} {parts.path}")
        registry.tries[self.command + self.path] += 1
        if parts.path != "/v2/" and registry.tries[self.command + self.path] <= registry.busy:
            return self._answer(429, b"", {"Retry-After": "0"})
        if not self._allowed():
            realm = f'Bearer realm="http://{registry.host}/token",service="fake",scope="repository:app:pull,push"'
            return self._answer(
                401, b"", {"WWW-Authenticate": realm if registry.auth == "Bearer" else 'Basic realm="x"'}
            )
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(uploads/)?(.*)", parts.path)
        if not found:
            return self._answer(200, b"")
        repository, what, upload, digest = found.groups()
        if upload:
            return self._upload(repository, parse_qs(parts.query), body)
        return self._content(repository, what, digest, body)

    def _content(self, repository: str, what: str, digest: str, body: bytes) -> None:
        held = self.registry.content
        if self.command == "PUT":
            held[repository, digest] = (self.headers["Content-Type"], body)
            return self._answer(201, b"")
        if self.command == "DELETE" and not self.registry.deletes:
            return self._answer(405, b'{"errors": [{"code": "UNSUPPORTED"}]}')
        if (repository, digest) not in held:
            return self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        if self.command == "DELETE":
            del held[repository, digest]
            return self._answer(202, b"")
        kind, content = held[repository, digest]
        return self._answer(200, content, {"Content-Type": kind})

    def _upload(self, repository: str, query: dict[str, list[str]], body: bytes) -> None:
        held = self.registry.content
        if self.command == "POST":
            source = (query.get("from", [""])[0], query.get("mount", [""])[0])
            if source in held:
                held[repository, source[1]] = held[source]
                return self._answer(201, b"")
            return self._answer(202, b"", {"Location": f"/v2/{repository}/blobs/uploads/1?state=x"})
        digest = query["digest"][0]
        if "sha256:" + hashlib.sha256(body).hexdigest() != digest:
            return self._answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
        held[repository, digest] = ("blob", body)
        return self._answer(201, b"")

    def _allowed(self) -> bool:
        registry, said = self.registry, self.headers.get("Authorization", "")
        wanted = "Bearer a-token" if registry.auth == "Bearer" else self._basic()
        return not registry.user or said == wanted

    def _token(self) -> None:
        if self.headers.get("Authorization", "") != self._basic():
            return self._answer(401, b"")
        return self._answer(200, b'{"token": "a-token"}')

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.registry.user}:{self.registry.password}".encode()).decode()

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - so are they called there

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def fake_registry(**traits: Any) -> Iterator[FakeRegistry]:
    """It serves until the end of the block."""
    registry = FakeRegistry(**traits)
    handler = type("Handler", (_Handler,), {"registry": registry})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        registry.host = f"127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield registry
        finally:
            server.shutdown()
            serving.join()
