"""One registry over HTTP: how it is reached, who we are to it, what is tried again, and its errors in plain words."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from tidegate.builds.image_names import DOCKER_HUB, ImageName
from tidegate.builds.registry_login import Login, login_for
from tidegate.errors import ArtifactsUnreachable

if TYPE_CHECKING:
    import httpx2

TRIES = 4
LONGEST_PAUSE = 10.0  # seconds, whatever the registry asks for
PATIENCE = 5.0  # seconds for a connection
SILENCE = 60.0  # seconds without a byte
BUSY = frozenset({429, 500, 502, 503, 504})
INSECURE = "TIDEGATE_INSECURE_REGISTRIES"  # hosts, with their ports, separated by commas
CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryConnection:
    """Connects when it is first used. `pause` is what it waits before it tries again, seconds; doubled each time.

    Plain HTTP is spoken where HTTPS cannot be, and only with a loopback or private address or a host that
    `TIDEGATE_INSECURE_REGISTRIES` lists.
    """

    def __init__(self, host: str, *, pause: float = 0.5) -> None:
        self.host = host
        self._pause = pause
        self._opening = anyio.Lock()
        self._client: httpx2.AsyncClient | None = None
        self._base = ""
        self._signatures: dict[tuple[str, bool], str] = {}

    async def plain(self) -> bool:
        """Whether plain HTTP is spoken. Raises `ArtifactsUnreachable`."""
        library = _library()
        if not may_be_plain(self.host):
            return False
        for attempt in range(TRIES):
            try:
                return (await self._found()).startswith("http:")
            except library.TransportError as error:
                if attempt == TRIES - 1:
                    raise self._silent(error) from error
            await self._wait(attempt)
        raise AssertionError

    async def send(
        self,
        method: str,
        path: str,
        name: ImageName,
        *,
        write: bool = False,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx2.Response:
        """The answer, read whole, whatever its status. Tried again where that may help. `path` begins with `/v2/`, or
        is an absolute URL that the registry gave. Raises `ArtifactsUnreachable`, also if it does not let us in."""
        async with self.streamed(method, path, name, write=write, headers=headers, content=content) as response:
            try:
                await response.aread()
            except _library().TransportError as error:
                raise self._silent(error) from error
            return response

    async def blocks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body of an answer as it was sent. Raises `ArtifactsUnreachable` if the connection breaks."""
        try:
            async for block in response.aiter_raw():
                yield block
        except _library().TransportError as error:
            raise self._silent(error) from error

    @asynccontextmanager
    async def streamed(
        self,
        method: str,
        path: str,
        name: ImageName,
        *,
        write: bool = False,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """As `send`, with the body not read yet. A body that is sent as a stream is not sent a second time."""
        library = _library()
        once = not (content is None or isinstance(content, bytes))
        for attempt in range(TRIES):
            last = once or attempt == TRIES - 1
            try:
                response = await self._signed(
                    method, path, name, write=write, headers=headers or {}, content=content, once=once
                )
            except library.TransportError as error:
                if last:
                    raise self._silent(error) from error
                await self._wait(attempt)
                continue
            if response.status_code not in BUSY or last:
                try:
                    self._refuse(response, name)
                    yield response
                finally:
                    await response.aclose()
                return
            await response.aclose()
            await self._wait(attempt, response.headers.get("Retry-After", ""))

    def unexpected(self, response: httpx2.Response, name: ImageName) -> ArtifactsUnreachable:
        """The error for an answer that fits nothing. Codes alone: texts of a registry may quote what was sent."""
        return ArtifactsUnreachable(
            f"cannot use the registry {self.host}",
            f"It answered {response.status_code}{_codes(response)} for {name}.",
            hint="Try again; if it goes on, ask who runs the registry.",
        )

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def _signed(
        self,
        method: str,
        path: str,
        name: ImageName,
        *,
        write: bool,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes] | None,
        once: bool,
    ) -> httpx2.Response:
        base = await self._found()
        client = self._opened()
        url = path if "://" in path else base + path
        ours = urlsplit(url).netloc == urlsplit(base).netloc  # elsewhere the URL itself is what lets us in
        key = (name.repository, write)

        async def attempt() -> httpx2.Response:
            signature = {"Authorization": self._signatures[key]} if ours and key in self._signatures else {}
            request = client.build_request(method, url, headers={**headers, **signature}, content=content)
            return await client.send(request, stream=True, follow_redirects=method in {"GET", "HEAD"})

        response = await attempt()
        if response.status_code == 401 and ours:
            challenges = response.headers.get_list("WWW-Authenticate")
            await response.aclose()
            self._signatures[key] = await self._sign(challenges, name)
            if not once:
                response = await attempt()
        return response

    async def _sign(self, challenges: list[str], name: ImageName) -> str:
        """What `Authorization` has to be, after the registry said what it wants."""
        login = await login_for(name)
        for challenge in challenges:
            if challenge.lower().startswith("bearer"):
                return f"Bearer {await self._token(dict(_PARAMETER.findall(challenge)), login, name)}"
        if login is None:
            raise self._refused(name, "asks who we are, and nobody is logged in here")
        return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()

    async def _token(self, asked: Mapping[str, str], login: Login | None, name: ImageName) -> str:
        realm = asked.get("realm", "")
        if not realm.startswith("https://") and not self._base.startswith("http:"):
            raise self._refused(name, "wants our password sent in the clear")
        service, scopes = asked.get("service", ""), asked.get("scope", "").split()
        client = self._opened()
        if login is not None and login.identity:
            form = {"grant_type": "refresh_token", "client_id": "tidegate", "refresh_token": login.identity}
            response = await client.post(realm, data={**form, "service": service, "scope": " ".join(scopes)})
        else:
            given = (login.user, login.password) if login else None
            response = await client.get(realm, params={"service": service, "scope": scopes}, auth=given)
        try:
            found: Any = response.json() if response.status_code == 200 else {}
        except ValueError:
            found = {}
        token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
        if not token:
            who = "the login that is kept here" if login else "strangers"
            raise self._refused(name, f"does not let {who} in ({response.status_code})")
        return str(token)

    def _refuse(self, response: httpx2.Response, name: ImageName) -> None:
        if response.status_code in {401, 403}:
            raise self._refused(name, f"refuses access to {name.repository} ({response.status_code})")

    async def _found(self) -> str:
        """Scheme and host. Raises transport errors of the library."""
        async with self._opening:
            if not self._base:
                self._base = await self._find()
            return self._base

    async def _find(self) -> str:
        host = "registry-1.docker.io" if self.host == DOCKER_HUB else self.host
        if not may_be_plain(self.host):
            return f"https://{host}"
        try:
            await self._opened().get(f"https://{host}/v2/")
        except _library().TransportError as error:
            if _distrusted(error):
                raise
            await self._opened().get(f"http://{host}/v2/")
            return f"http://{host}"
        return f"https://{host}"

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            library = _library()
            context = library.create_ssl_context()
            for file in _certificates(self.host):
                context.load_verify_locations(file)
            timeout = library.Timeout(SILENCE, connect=PATIENCE, pool=None)
            # A proxy does not lead to where only this machine's own network does.
            self._client = library.AsyncClient(verify=context, timeout=timeout, trust_env=not _near(self.host))
        return self._client

    async def _wait(self, attempt: int, asked: str = "") -> None:
        pause = float(asked) if asked.isdigit() else self._pause * 2**attempt
        await anyio.sleep(min(pause, LONGEST_PAUSE))

    def _silent(self, error: Exception) -> ArtifactsUnreachable:
        if _distrusted(error):
            return ArtifactsUnreachable(
                f"cannot use the registry {self.host}",
                "Its certificate is not trusted here.",
                hint=f"Put that of its authority among the system's, or into {CERTIFICATES[0]}/{self.host}/ca.crt",
            )
        plain = "" if may_be_plain(self.host) else f" One without HTTPS has to be listed in {INSECURE}."
        return ArtifactsUnreachable(
            f"cannot use the registry {self.host}",
            f"It does not answer ({type(error).__name__}).",
            hint=f"Check the network and `registry:` of the target in tidegate.yaml.{plain}",
        )

    def _refused(self, name: ImageName, why: str) -> ArtifactsUnreachable:
        return ArtifactsUnreachable(
            f"cannot use the registry {self.host}",
            f"It {why}.",
            hint=f"Check that there is such an image ({name}), and log in: docker login {self.host} "
            f"(or podman login, buildah login).",
        )


class RegistryConnections:
    """One connection for each host; closed together."""

    def __init__(self, *, pause: float = 0.5) -> None:
        self._pause = pause
        self._open: dict[str, RegistryConnection] = {}

    def to(self, host: str) -> RegistryConnection:
        """The same one for the same host."""
        if host not in self._open:
            self._open[host] = RegistryConnection(host, pause=self._pause)
        return self._open[host]

    async def aclose(self) -> None:
        """Close what is open."""
        async with AsyncExitStack() as stack:
            for connection in self._open.values():
                stack.push_async_callback(connection.aclose)
            self._open.clear()


def may_be_plain(host: str) -> bool:
    """Whether plain HTTP would be accepted of this host."""
    listed = {each.strip() for each in os.environ.get(INSECURE, "").split(",")}
    return _near(host) or host in listed


def _near(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def _certificates(host: str) -> list[Path]:
    return [file for folder in CERTIFICATES for file in sorted(folder.glob(f"{host}/*.crt"))]


def _distrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _codes(response: httpx2.Response) -> str:
    """The codes that the registry's errors have, such as ` MANIFEST_INVALID`."""
    try:
        errors = response.json()["errors"]
        return "".join(f" {each['code']}" for each in errors if re.fullmatch(r"[A-Z_]{1,40}", each["code"]))
    except (ValueError, KeyError, TypeError, RuntimeError):  # no body, one not read, or one of a proxy on the way
        return ""


def _library() -> Any:
    try:
        import httpx2  # noqa: PLC0415 - not installed, and not needed, where nothing runs as an image
    except ImportError as error:
        raise ArtifactsUnreachable(
            "cannot use a registry",
            "Images need the package httpx2, which is not installed.",
            hint="Install Tidegate with its extra `kubernetes`; in a clone: pip install '.[kubernetes]'",
        ) from error
    return httpx2
