"""Stands before the real API server and fails as it is told: away, busy, forgetful, slow, or losing its answers.

Reached over plain HTTP with a kubeconfig of its own, as administrator; a request with a token goes on as that one's.
Lives in a thread, so that it can be used for programs of their own as well.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from tidegate.drivers.kubernetes.client import Api, Dial

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request that came: `resource` as in paths (`pods`, `pods/log`), of any namespace."""

    method: str
    path: str
    resource: str
    name: str
    watch: bool
    page: bool


Which = Callable[[Call], bool]


def watches(call: Call) -> bool:
    """For faults that are to meet watches only."""
    return call.watch


def writes(call: Call) -> bool:
    """For faults that are to meet what changes something."""
    return call.method != "GET"


@dataclass
class Held:
    """A request that waits: `came` once it is there; see `FaultyApi.hold`."""

    loop: asyncio.AbstractEventLoop
    came: threading.Event = field(default_factory=threading.Event)
    going: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        """It goes on to the API server."""
        self.loop.call_soon_threadsafe(self.going.set)


@dataclass
class Fault:
    """What happens to the next `times` requests that are `which` (None: to all, until `heal`)."""

    which: Which
    times: int | None
    code: int = 0  # answered at once, as a Status
    retry_after: int = 0
    expired: bool = False  # a watch that begins well and then says 410
    lost: bool = False  # done, but the answer never comes
    delay: float = 0  # seconds
    held: Held | None = None


@dataclass
class FaultyApi:
    """`with FaultyApi(kubeconfig, context) as api`: `api.kubeconfig(folder)` is for those who are to go through it."""

    source: Path
    context: str
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._faults: list[Fault] = []
        self._running: dict[asyncio.StreamWriter, Call] = {}
        self._serving: set[asyncio.Task[Any] | None] = set()  # asyncio itself holds on to no task
        self._server: asyncio.Server | None = None
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty api")
        self._thread.start()
        self._upstream = self._do(self._find())
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()
        self._do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, folder: Path) -> Path:
        """Written into a folder; the context has the same name as the real one."""
        named = {"name": self.context}
        path = folder / "faulty-kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
                    "users": [{**named, "user": {}}],
                    "contexts": [{**named, "context": {"cluster": self.context, "user": self.context}}],
                    "current-context": self.context,
                }
            )
        )
        return path

    def down(self) -> None:
        """Nobody listens, and all connections break."""
        self._do(self._down())

    def up(self) -> None:
        """Listens again, at the same address."""
        self._do(self._up())

    def drop(self, which: Which = watches) -> int:
        """Break what is under way now; says how many there were."""
        return self._do(self._drop(which))

    def under_way(self, which: Which = watches) -> int:
        """How many are at this moment."""
        return sum(which(call) for call in list(self._running.values()))

    def answer(self, code: int, which: Which, *, times: int | None = 1, retry_after: int = 0) -> None:
        """Say this instead of asking the API server."""
        self._faults.append(Fault(which, times, code=code, retry_after=retry_after))

    def expire(self, *, times: int | None = 1) -> None:
        """The next watches begin, and then say that their version is too old."""
        self._faults.append(Fault(watches, times, expired=True))

    def lose(self, which: Which = writes, *, times: int | None = 1) -> None:
        """Do it, and break the connection instead of answering."""
        self._faults.append(Fault(which, times, lost=True))

    def delay(self, seconds: float, which: Which, *, times: int | None = 1) -> None:
        """Think about it for a while."""
        self._faults.append(Fault(which, times, delay=seconds))

    def hold(self, which: Which) -> Held:
        """The next one waits on its way until it is let go."""
        held = Held(self._loop)
        self._faults.append(Fault(which, 1, held=held))
        return held

    def pending(self) -> bool:
        """Whether some faults have not met all that they are to meet."""
        return any(fault.times != 0 for fault in self._faults)

    def heal(self) -> None:
        """From now on everything goes well."""
        self._faults.clear()

    def count(self, method: str, resource: str, *, watch: bool | None = None) -> int:
        """How often it was asked."""
        return sum(
            call.method == method and call.resource == resource and watch in {None, call.watch} for call in self.calls
        )

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _find(self) -> Dial:
        api = Api.connect(self.context, kubeconfig=self.source)
        try:
            return await api.dial("/")
        finally:
            await api.close()

    async def _up(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop(lambda _: True)

    async def _drop(self, which: Which) -> int:
        met = [writer for writer, call in self._running.items() if which(call)]
        for writer in met:
            writer.transport.abort()
        return len(met)

    async def _ended(self) -> None:
        while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # for what the last of them closed, and for who came just then

    def _fault(self, call: Call) -> Fault | None:
        for fault in self._faults:
            if fault.which(call) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving.add(task)
        # Cancelled it ends as well: asyncio complains of connections whose task was.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            call = _call(head)
            self.calls.append(call)
            self._running[writer] = call
            fault = self._fault(call)
            if fault is not None and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault is not None and fault.held is not None:
                fault.held.came.set()
                await fault.held.going.wait()
            if fault is not None and fault.code:
                await _answer(reader, writer, head, fault)
            elif fault is not None and fault.expired:
                writer.write(_message(200, json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n"))
            else:
                await self._pass_on(reader, writer, head, lost=fault is not None and fault.lost)
        self._running.pop(writer, None)
        with suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        self._serving.discard(task)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, *, lost: bool
    ) -> None:
        """As one connection, there and back, until the API server has ended it."""
        url = urlsplit(self._upstream.url)
        answers, asks = await asyncio.open_connection(url.hostname, url.port, ssl=self._upstream.tls)
        asks.write(self._rewritten(head, url.netloc))
        body = asyncio.create_task(_pump(reader, asks))
        try:
            if lost:
                await answers.read()
                writer.transport.abort()
            else:
                await _pump(answers, writer)
        finally:
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)
            asks.transport.abort()

    def _rewritten(self, head: bytes, host: str) -> bytes:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        names = {line.partition(":")[0].lower() for line in lines}
        kept = [line for line in lines if line.partition(":")[0].lower() not in {"host", "connection"}]
        kept += [f"Host: {host}", f"Connection: {'Upgrade' if 'upgrade' in names else 'close'}"]
        if "authorization" not in names:
            kept += [f"{name}: {value}" for name, value in self._upstream.headers.items()]
        return "\r\n".join([first, *kept, "", ""]).encode("latin-1")


def _call(head: bytes) -> Call:
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    url = urlsplit(target)
    query = parse_qs(url.query)
    parts = url.path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource = "/".join([*rest[:1], *rest[2:3]])
    return Call(method, target, resource, (rest[1:2] or [""])[0], "watch" in query, "continue" in query)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(1 << 16):
        sink.write(chunk)
        await sink.drain()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, fault: Fault) -> None:
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    await reader.readexactly(int(length.partition(b":")[2]))
    more = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
    writer.write(_message(fault.code, json.dumps(_status(fault.code)).encode(), more))


def _status(code: int) -> Json:
    reason = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}.get(code, "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": "faulty",
    }


def _message(code: int, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {code} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}Connection: close"
    )
    return f"{head}\r\n\r\n".encode() + body
