"""Asking an instance once whether it is healthy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import assert_never

from tidegate.drivers.local.agent.process import Process
from tidegate.model.component import Health, HealthKind

NO_HTTP = "did not answer in HTTP"


async def probe(health: Health, port: int, *, folder: str, env: Mapping[str, str]) -> str:
    """ "" when it is healthy, else why not ("GET /healthz answered 500").

    Takes `health.timeout` milliseconds at most; never raises but when cancelled.
    """
    name = _name(health)
    try:
        async with asyncio.timeout(health.timeout / 1000):
            match health.kind:
                case HealthKind.HTTP:
                    answer = await _http(health.check, port)
                case HealthKind.TCP:
                    answer = await _tcp(port)
                case HealthKind.ALIVE:
                    answer = ""  # whoever asks sees that it runs
                case HealthKind.COMMAND:
                    answer = await _command(health.check, folder, env)
                case _ as never:
                    assert_never(never)
    except TimeoutError:
        return f"{name}: no answer within {health.timeout / 1000:g} s"
    except ConnectionRefusedError:
        return f"{name}: connection refused"
    except (OSError, EOFError, ValueError) as error:
        return f"{name}: {error or type(error).__name__}"
    return f"{name} {answer}" if answer else ""


def _name(health: Health) -> str:
    match health.kind:
        case HealthKind.HTTP:
            return f"GET {health.check}"
        case HealthKind.TCP:
            return "connecting to $PORT"
        case HealthKind.ALIVE:
            return "running"
        case HealthKind.COMMAND:
            return f"health command `{health.check}`"
        case _ as never:
            assert_never(never)


async def speaks_http(port: int) -> bool:
    """Whether somebody serves web requests there. A debugger's port does not: it answers 400 to all but its own."""
    try:
        async with asyncio.timeout(1):
            return await _http("/", port) not in (NO_HTTP, "answered 400")
    except (OSError, EOFError, ValueError):
        return False


async def _http(path: str, port: int) -> str:
    """Healthy with any status from 200 to 399."""
    reader, writer = await _connected(port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: tidegate\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        words = (await reader.readline()).split(None, 2)
    finally:
        writer.close()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return NO_HTTP
    status = int(words[1])
    return "" if 200 <= status < 400 else f"answered {status}"


async def _tcp(port: int) -> str:
    _, writer = await _connected(port)
    writer.close()
    return ""


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
        # The kernel chose the asked port for our own end, and connected us to ourselves: nobody listens.
        writer.transport.abort()
        raise ConnectionRefusedError
    return reader, writer


async def _command(command: str, folder: str, env: Mapping[str, str]) -> str:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        process = Process.spawn(["/bin/sh", "-c", command], folder=folder, env=env, output=nowhere)
    finally:
        os.close(nowhere)
    try:
        status = await asyncio.shield(process.exited)
    finally:
        if not process.exited.done():
            await process.stop(0)
    return f"ended with {status}" if status else ""
