"""Undo of a connected change of 2, 4 and 8 services: from the failure to the last user on the old releases.

The services are a chain; the last one's new release is healthy and answers 500 under traffic. Time runs from the failed
step in the journal to the first answer of the old release at the entry, after which no new one is seen; a user asks
again as soon as an answer is there. Beside it: stopping and starting the same old processes, the last of the chain
first, each until it answers, as one undoes where nothing runs beside.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from bench.apply import RealClock
from bench.bare import Program, built, free_ports, one_by_one, surroundings
from bench.chain import links, write_chain, write_release
from bench.project import PATIENCE, Failed, Project, project
from bench.table import Row, show
from tidegate.stores.sql import SqlStore

SIZES = (2, 4, 8)
TIMES = 3

Answer = tuple[float, str]  # when it came, in seconds since the epoch; the release of the entry's component


def recovered(answers: Sequence[Answer], old: str) -> float:
    """When the first old answer came after which all are old. Raises ValueError if the last one is not."""
    if not answers or answers[-1][1] != old:
        raise ValueError("the last answer is not of the old release")
    at = answers[-1][0]
    for when, release in reversed(answers):
        if release != old:
            break
        at = when
    return at


async def user(url: str, answers: list[Answer], program: subprocess.Popen[str]) -> None:
    """Ask over one kept connection, again and again, until the program ended."""
    host = urlsplit(url)
    deadline = time.monotonic() + PATIENCE
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    try:
        while program.poll() is None:
            if time.monotonic() > deadline:
                program.kill()
                raise Failed("the undo did not end")
            writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            await reader.readexactly(int(fields[b"content-length"]))
            answers.append((time.time(), fields.get(b"x-release", b"").decode()))
            await asyncio.sleep(0.001)  # leaves the machine to those who are measured
    finally:
        writer.close()


async def failed_at(made: Project, environment: str) -> float:
    """When the last step failed, by the journal."""
    store = SqlStore.open(made.state / "store.db", RealClock())
    try:
        return [event.at for event in await store.events(environment=environment) if event.kind == "step-failed"][-1]
    finally:
        await store.close()


def undo_once(made: Project) -> float:
    """Seconds from the failure to the old release, for the broken change that lies in the checkout."""
    answers: list[Answer] = []
    url = made.status()["dev", links(1)[0]]["url"]
    program = made.begin("up", "dev", "--yes")
    asyncio.run(user(url, answers, program))
    said, _ = program.communicate()
    if program.returncode != 1 or {release for _, release in answers} != {"v1", "v2"}:
        raise Failed(f"the broken change was not undone, or never seen (status {program.returncode}):\n{said}")
    return recovered(answers, "v1") - asyncio.run(failed_at(made, "dev"))


def restart_once(made: Project, size: int) -> float:
    """Seconds that a plain restart of the old releases takes, the last of the chain first."""
    found = asyncio.run(built(made, newest=False))
    ports = dict(zip(links(size), free_ports(size), strict=True))
    programs = []
    for name, need in zip(links(size), [*links(size)[1:], ""], strict=True):
        more = {f"{need.upper().replace('-', '_')}_URL": f"http://127.0.0.1:{ports[need]}"} if need else {}
        release = found[name]
        programs.append(Program(release.command, release.folder, ports[name], "/", surroundings(ports[name], **more)))
    return one_by_one(programs[::-1])


def measure(size: int) -> list[tuple[float, float]]:
    """(seconds to undo, seconds to restart), alternating."""
    with project() as made:
        write_chain(made, size, environments="  dev: {observe: 2s}\n")
        write_release(made, size, "v1")
        made.tidegate("up", "dev", "--yes")
        write_release(made, size, "v2", last="broken")
        return [(undo_once(made), restart_once(made, size)) for _ in range(TIMES)]


def rows() -> list[Row]:
    """One row per size; medians."""
    found = []
    for size in SIZES:
        pairs = measure(size)
        undo, restart = (statistics.median(column) for column in zip(*pairs, strict=True))
        slowest = max(undo for undo, _ in pairs)
        against = (
            f"{undo / restart:.2f} × restarting the old releases ({restart:.2f} s); slowest of {TIMES}: {slowest:.3f} s"
        )
        found.append(Row(f"undo of {size} services: failure to old traffic", undo, "s", against))
    return found


def main() -> None:
    """Print the times."""
    show("Undo", rows())


if __name__ == "__main__":
    main()
