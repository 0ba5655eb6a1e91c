"""Commands of a person inside an instance, over the API server's `exec`.

Each message of the WebSocket begins with the number of its channel. How the command ended comes on its own channel,
as a `Status`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from tidegate.drivers.kubernetes.area import is_ready
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.errors import refusal
from tidegate.drivers.kubernetes.kinds import POD
from tidegate.drivers.kubernetes.names import PROGRAM, group_name, instances_of
from tidegate.errors import TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.ports.target import Streams

STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NEWEST, OLDER = Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")
"""The older one cannot say that standard input has ended."""
PIECE = 32 * 1024  # bytes of standard input in one message
LARGEST = 1 << 22  # bytes of a message that is taken
OPENS = 30.0  # seconds


class Inside:
    """Runs commands inside the instances of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def run(self, group: GroupAddress, command: Sequence[str], streams: Streams) -> int:
        """As `RunsInside.run_inside`."""
        pod = await self._first_healthy(group)
        asked = {"container": PROGRAM, "stdout": True, "stderr": streams.size is None}
        asked |= {"stdin": streams.stdin is not None, "tty": streams.size is not None}
        query = [("command", word) for word in command] + [(key, str(value).lower()) for key, value in asked.items()]
        cannot = f"run {command[0]} inside {pod}"
        dial = await self._api.dial(f"{POD.path(self._namespace, pod)}/exec?{urlencode(query)}")
        connecting = connect(
            dial.url,
            subprotocols=(NEWEST, OLDER),
            additional_headers=dict(dial.headers),
            ssl=dial.tls,
            proxy=dial.proxy or None,
            server_hostname=dial.server_name or None,
            compression=None,
            max_size=LARGEST,
            open_timeout=OPENS,
        )
        try:
            session = await connecting
        except InvalidStatus as error:
            raise refusal(cannot, error.response.status_code, _said(error.response.body)) from error
        except (InvalidHandshake, OSError) as error:
            raise TargetUnreachable(f"cannot {cannot}", f"{self._api.server}: {error}") from error
        async with session:
            if streams.stdin is not None and streams.size is None and session.subprotocol != NEWEST:
                raise TargetError(
                    f"cannot {cannot}",
                    f"The API server speaks {session.subprotocol}, which cannot say where standard input ends.",
                    hint="Run it at a terminal.",
                )
            return await converse(session, streams, f"cannot {cannot}")

    async def _first_healthy(self, group: GroupAddress) -> str:
        pods = (await self._api.list(POD, self._namespace, instances_of(group))).items
        healthy = sorted(str(pod["metadata"]["name"]) for pod in pods if is_ready(pod))
        if not healthy:
            raise TargetError(
                f"cannot run inside {group.component}",
                f"{group_name(group)} has no healthy instance.",
                hint=f"`tidegate status {group.environment}` says more.",
            )
        return healthy[0]


async def converse(session: ClientConnection, streams: Streams, cannot: str) -> int:
    """Carry the streams to and fro until the command has ended; its exit status.

    Raises `TargetError` if it could not be run, or if the connection is lost; then it may still run.
    """
    tell = _telling(session, streams)
    status: int | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for each in tell:
            tasks.start_soon(each)
        try:
            status = await _listen(session, streams, cannot)
        except (ConnectionClosed, TargetError, OSError) as error:  # as it is, not as one of a group
            failure = error
        tasks.cancel_scope.cancel()
    if isinstance(failure, TargetError | OSError) and not isinstance(failure, ConnectionClosed):
        raise failure
    if status is None:
        raise TargetError(cannot, "The connection was lost before the command ended; it may still run.") from failure
    return status


def _telling(session: ClientConnection, streams: Streams) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What sends. When the connection is lost it stops; whoever listens says so."""
    stdin, size = streams.stdin, streams.size

    async def feed() -> None:
        assert stdin is not None
        try:
            async for data in stdin:
                for begin in range(0, len(data), PIECE):
                    await session.send(bytes((STDIN,)) + data[begin : begin + PIECE])
            if session.subprotocol == NEWEST:
                await session.send(bytes((CLOSE, STDIN)))
        except ConnectionClosed:
            return

    async def resize() -> None:
        assert size is not None
        try:
            async for columns, rows in size:
                await session.send(bytes((RESIZE,)) + json.dumps({"Width": columns, "Height": rows}).encode())
        except ConnectionClosed:
            return

    return [*([feed] if stdin is not None else []), *([resize] if size is not None else [])]


async def _listen(session: ClientConnection, streams: Streams, cannot: str) -> int | None:
    async for message in session:
        assert isinstance(message, bytes)
        channel, data = message[:1], message[1:]
        if not data:
            continue  # each channel is opened so
        if channel == bytes((STDOUT,)):
            streams.stdout(data)
        elif channel == bytes((STDERR,)):
            streams.stderr(data)
        elif channel == bytes((STATUS,)):
            return exit_status(json.loads(data), cannot)
    return None


def _said(body: bytes | bytearray | None) -> Mapping[str, Any]:
    """The `Status` of a refusal."""
    try:
        found = json.loads(body or b"")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": bytes(body or b"").decode(errors="replace")[:500]}


def exit_status(status: Mapping[str, Any], cannot: str) -> int:
    """What the last message says. Raises `TargetError` if the command could not be run."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if status.get("reason") == "NonZeroExitCode" and cause.get("reason") == "ExitCode":
            return int(cause["message"])
    message = str(status.get("message", "the API server does not say why"))
    missing = re.search(r'exec: "([^"]*)": (executable file not found|stat [^:]*: no such file)', message)
    if missing is not None:
        raise TargetError(cannot, f"There is no {missing[1]} in its image.")
    raise TargetError(cannot, message[:1].upper() + message[1:])
