"""Signing in by a program that the kubeconfig names (`exec:`), as EKS, GKE and AKS have it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from tidegate.drivers.kubernetes.errors import NotSignedIn

VERSIONS = frozenset(f"client.authentication.k8s.io/{each}" for each in ("v1", "v1beta1", "v1alpha1"))
PATIENCE = 60.0  # seconds: some ask a server, or a person in a browser
EARLY = 10.0  # seconds before a token ends
_CLUSTER_INFO = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")


class PluginAuth(httpx2.Auth):
    """Runs the program when there is no token, or it has ended, or the server does not take it; once however many ask.

    A client certificate is put into `tls`, for connections to come. Raises `NotSignedIn`, never with what the program
    printed on its standard output.
    """

    def __init__(
        self, context: str, plugin: Mapping[str, Any], cluster: Mapping[str, Any], tls: ssl.SSLContext
    ) -> None:
        self._context = context
        self._plugin = plugin
        self._cluster = cluster
        self._tls = tls
        self._token: str | None = None
        self._ends: datetime | None = None
        self._signing = asyncio.Lock()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """See `httpx2.Auth`."""
        token = await self.token()
        self._sign(request, token)
        response = yield request
        if response.status_code == 401:
            self._sign(request, await self.token(refused=token))
            yield request

    async def token(self, *, refused: str | None = None) -> str:
        """The bearer token, "" if the program gives certificates only. `refused`: the server did not take this."""
        async with self._signing:
            ended = self._ends is not None and (self._ends - datetime.now(UTC)).total_seconds() < EARLY
            if self._token is None or ended or self._token == refused:
                self._take(await self._run())
            assert self._token is not None
            return self._token

    def _sign(self, request: httpx2.Request, token: str) -> None:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"

    def _take(self, output: bytes) -> None:
        try:
            status = json.loads(output)["status"]
            ends = status.get("expirationTimestamp")
            self._ends = None if ends is None else datetime.fromisoformat(ends)
            if status.get("clientCertificateData"):
                self._certify(status["clientCertificateData"], status["clientKeyData"])
            self._token = str(status.get("token") or "")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._failed("It did not print an ExecCredential.") from error

    def _certify(self, certificate: str, key: str) -> None:
        with tempfile.TemporaryDirectory() as folder:  # of mode 700
            files = Path(folder, "certificate"), Path(folder, "key")
            for file, text in zip(files, (certificate, key), strict=True):
                file.write_text(text)
            self._tls.load_cert_chain(*files)

    async def _run(self) -> bytes:
        version = str(self._plugin.get("apiVersion", ""))
        if version not in VERSIONS:
            raise self._failed(f"It speaks {version or 'no version'}, which is none of {', '.join(sorted(VERSIONS))}.")
        spec: dict[str, Any] = {"interactive": False}
        if self._plugin.get("provideClusterInfo"):
            spec["cluster"] = {key: self._cluster[key] for key in _CLUSTER_INFO if key in self._cluster}
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
        given = {str(each["name"]): str(each["value"]) for each in self._plugin.get("env") or ()}
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._plugin["command"]),
                *(str(each) for each in self._plugin.get("args") or ()),
                env={**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = str(self._plugin.get("installHint") or "").strip()
            raise self._failed(f"It cannot be run: {error.strerror}.", hint=hint) from error
        try:
            output, words = await asyncio.wait_for(process.communicate(), PATIENCE)
        except BaseException as error:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if isinstance(error, TimeoutError):
                raise self._failed(f"It did not end within {PATIENCE:g} s.") from error
            raise
        if process.returncode:
            said = words.decode(errors="replace").strip()
            raise self._failed(f"It ended with status {process.returncode}. It said: {said or 'nothing'}")
        return output

    def _failed(self, why: str, *, hint: str = "") -> NotSignedIn:
        command = Path(str(self._plugin.get("command", ""))).name
        return NotSignedIn(
            f"cannot sign in to {self._context}",
            f"The kubeconfig has {command} sign in. {why}",
            hint=hint or f"See that `kubectl --context {self._context} version` works, then do it again.",
        )
