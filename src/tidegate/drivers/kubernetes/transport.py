"""Requests to one API server: connections, signing in, patience. What the answers mean is in `errors`."""

from __future__ import annotations

import email.utils
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TypeVar

import anyio
import httpx2
import orjson
from lightkube.config.client_adapter import ConnectionParams
from lightkube.core.exceptions import ConfigError

from tidegate.drivers.kubernetes.errors import NotSignedIn, RefusedError, TryAgain, refusal
from tidegate.drivers.kubernetes.kubeconfig import Access
from tidegate.drivers.kubernetes.signing import PluginAuth
from tidegate.errors import TargetError, TargetUnreachable

T = TypeVar("T")

PATIENCE = 30.0  # seconds, from the first failure on
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts
CONNECTS, ANSWERS = 5.0, 30.0  # seconds
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=60)


@dataclass(frozen=True, slots=True)
class Dial:
    """How to open a connection of another protocol to the API server, signed in. `tls` is None for plain HTTP."""

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    proxy: str
    server_name: str


class Trouble:
    """How long it has been going badly, and how long to wait until the next attempt."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.over()

    def over(self) -> None:
        """It went well."""
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def pause(self, error: TryAgain) -> float | None:
        """Seconds to wait after this one, None when it is time to give up."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        patience = self._patience if error.patience is None else min(self._patience, error.patience)
        pause = max(error.after, self._pause * random.uniform(0.5, 1))  # noqa: S311 – so that many do not come at once
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return pause if now + pause <= self._since + patience else None


class Transport:
    """The way to one API server, as one user. Belongs to one event loop; connects when it is first used."""

    def __init__(self, access: Callable[[], Access], patience: float) -> None:
        self._read = access
        self.patience = patience
        self._open: tuple[httpx2.AsyncClient, ssl.SSLContext] | None = None
        self._ahead = timedelta()

    @cached_property
    def access(self) -> Access:
        """What the kubeconfig says. Raises `TargetError`."""
        return self._read()

    def now(self) -> datetime:
        """The time of the API server, to about a second; of this machine before it was asked for anything."""
        return datetime.now(UTC) + self._ahead

    async def once(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content: str = "application/json",
        silence: float = ANSWERS,
    ) -> httpx2.Response:
        """One request, whatever the answer. Raises `TryAgain`, `NotSignedIn`, `TargetError` when there is none."""
        request = self._request(method, path, params, silence, body=body, content=content)
        with self._translating(what):
            response = await self._client()[0].send(request)
        self._note(response)
        return response

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], what: str, *, silence: float | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer as they come. `silence`: seconds after which nothing more is expected.

        Raises as `once`, and what `checked` does.
        """
        request = self._request("GET", path, params, silence)
        with self._translating(what):
            response = await self._client()[0].send(request, stream=True)
            try:
                self._note(response)
                if response.is_error:
                    await response.aread()
                    checked(what, response)
                yield _lines(response)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    async def patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        """Do it until it does not raise `TryAgain`; see `pause`."""
        trouble = Trouble(self.patience)
        while True:
            try:
                return await once()
            except TryAgain as error:
                await self.pause(trouble, error)

    async def pause(self, trouble: Trouble, error: TryAgain) -> None:
        """Until it makes sense to try again. Raises `TargetUnreachable`, or what the server says, when it does not."""
        pause = trouble.pause(error)
        if pause is not None:
            await anyio.sleep(pause)
        elif error.patience is not None:
            raise RefusedError(error.summary, error.detail) from error
        else:
            raise self.unreachable(error) from error

    def unreachable(self, error: TryAgain) -> TargetUnreachable:
        """The error for a server that was away for too long; `error` is what was heard of it last."""
        return TargetUnreachable(
            error.summary,
            f"The API server {self.access.server} did not answer for {self.patience:g} s. {error.detail}",
            hint=f"See that `kubectl --context {self.access.context} version` works, then do it again.",
        )

    async def dial(self, path: str) -> Dial:
        """For a web socket at `path` (which may have a query). Raises `NotSignedIn`."""
        client, tls = self._client()
        request = client.build_request("GET", path)
        if client.auth is not None:
            flow = client.auth.async_auth_flow(request)
            await anext(flow)
            await flow.aclose()
        names = ("authorization", *self.access.headers)
        headers = {name: request.headers[name] for name in names if name in request.headers}
        url = str(request.url)
        return Dial(
            "ws" + url.removeprefix("http"),
            headers,
            tls if url.startswith("https:") else None,
            self.access.proxy,
            self.access.server_name,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._open is not None:
            client, self._open = self._open[0], None
            await client.aclose()

    def _client(self) -> tuple[httpx2.AsyncClient, ssl.SSLContext]:
        if self._open is None:
            access = self.access
            wanted = ConnectionParams(timeout=httpx2.Timeout(ANSWERS), trust_env=False, proxy=access.proxy or None)
            try:
                settings = wanted.httpx_params(access.config)
            except (OSError, ValueError, ConfigError) as error:  # among them ssl.SSLError and what base64 raises
                raise TargetError(
                    f"cannot use the context {access.context}",
                    f"A certificate or key that it names cannot be read: {error}.",
                ) from error
            if access.plugin is not None:
                settings["auth"] = PluginAuth(access.context, access.plugin, access.cluster, settings["verify"])
            client = httpx2.AsyncClient(**settings, limits=LIMITS, headers=dict(access.headers))
            self._open = client, settings["verify"]
        return self._open

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        silence: float | None,
        *,
        body: bytes | None = None,
        content: str = "",
    ) -> httpx2.Request:
        timeout = httpx2.Timeout(ANSWERS, connect=CONNECTS, read=silence, pool=None)
        name = self.access.server_name
        return self._client()[0].build_request(
            method,
            path,
            params=None if params is None else dict(params),
            content=body,
            headers={"Content-Type": content} if body is not None else None,
            timeout=timeout,
            extensions={"sni_hostname": name} if name else None,
        )

    def _translating(self, what: str) -> _Translating:
        return _Translating(what, self.access)

    def _note(self, response: httpx2.Response) -> None:
        try:
            self._ahead = email.utils.parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC)
        except (LookupError, ValueError, TypeError):
            return  # a proxy on the way left it out; the clock here has to do


class _Translating:
    """What the HTTP library raises becomes an error of this project."""

    def __init__(self, what: str, access: Access) -> None:
        self._what = what
        self._access = access

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        match error:
            case httpx2.TransportError() if (refused := _certificate(error)) is not None:
                raise TargetError(
                    f"cannot {self._what}",
                    f"The certificate of {self._access.server} is not to be trusted: {refused.verify_message}.",
                    hint="Get a new kubeconfig from who runs the cluster.",
                ) from error
            case httpx2.TransportError():
                raise TryAgain(self._what, f"{_words(error)}.") from error
            case httpx2.HTTPError() | httpx2.InvalidURL():
                raise TargetError(f"cannot {self._what}", f"{self._access.server}: {error}.") from error
            case ConfigError():
                raise NotSignedIn(f"cannot {self._what}", f"{error}.") from error


def checked(what: str, response: httpx2.Response) -> httpx2.Response:
    """The answer, if it is one of success. Raises the error that it means otherwise."""
    if response.is_success:
        return response
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        body = {"message": response.text[:500]}
    try:
        after = float(response.headers.get("retry-after", 0))
    except ValueError:  # a date, which Kubernetes does not use
        after = 0
    raise refusal(what, response.status_code, body, retry_after=after)


async def _lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    """At line feeds only: text of people may hold what Python's `splitlines` would part as well."""
    begun: list[bytes] = []
    async for chunk in response.aiter_bytes():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*begun, line])
            begun.clear()
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)


def _certificate(error: BaseException) -> ssl.SSLCertVerificationError | None:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return found
        found = found.__cause__ or found.__context__
    return None


def _words(error: Exception) -> str:
    """What went wrong on the way, also where the library says nothing."""
    text = str(error) or {
        "ConnectTimeout": "No connection in time",
        "ReadTimeout": "No answer in time",
        "WriteTimeout": "It does not take what is sent",
    }.get(type(error).__name__, "The connection broke")
    return text.rstrip(".")
