"""Commands of people inside instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.instances import program, running
from tests.kubernetes.place import Place, pin, place
from tidegate.drivers.kubernetes.inside import Inside
from tidegate.errors import TargetError
from tidegate.model.address import GroupAddress
from tidegate.ports.target import Streams

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    made = place(cluster.context, cluster.kubeconfig, namespace, cluster.images["base"])
    yield made
    await made.close()


class _Caught:
    def __init__(self) -> None:
        self.out, self.err = bytearray(), bytearray()
        self.news = asyncio.Event()

    def _take(self, into: bytearray, data: bytes) -> None:
        into.extend(data)
        self.news.set()

    def streams(
        self, stdin: AsyncIterator[bytes] | None = None, size: AsyncIterator[tuple[int, int]] | None = None
    ) -> Streams:
        return Streams(
            stdout=lambda data: self._take(self.out, data),
            stderr=lambda data: self._take(self.err, data),
            stdin=stdin,
            size=size,
        )

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(30):
            while text not in self.out:
                self.news.clear()
                await self.news.wait()


async def _bytes(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_command_runs_as_the_instance_does_and_its_exit_status_comes_back(here: Place) -> None:
    """Output and errors stay apart; standard input is its own, to its end; what is missing or not there is said."""
    release = here.releases.make("backend", "1", program("sleep infinity"))
    group, _ = await running(here, "backend", pin(release, env=(("GREETING", "hi there"),)))
    inside = Inside(here.api, here.area.namespace)

    caught = _Caught()
    command = ["sh", "-c", "echo $GREETING; echo $TIDEGATE_COMPONENT >&2; exit 7"]
    assert await inside.run(group, command, caught.streams()) == 7
    assert (bytes(caught.out), bytes(caught.err)) == (b"hi there\n", b"backend\n")

    much = bytes(range(256)) * 4096
    caught = _Caught()
    assert await inside.run(group, ["cat"], caught.streams(_bytes(b"first ", much))) == 0
    assert bytes(caught.out) == b"first " + much

    with pytest.raises(TargetError, match="There is no nonsense in its image") as failure:
        await inside.run(group, ["nonsense"], _Caught().streams())
    assert failure.value.summary.startswith("cannot run nonsense inside backend-r1-")
    with pytest.raises(TargetError, match="no healthy instance"):
        await inside.run(GroupAddress("stage", "backend", 9), ["true"], _Caught().streams())


async def test_a_terminal_has_the_size_of_the_persons_and_ctrl_c_goes_to_the_command(here: Place) -> None:
    """Also when it changes."""
    release = here.releases.make("backend", "1", program("sleep infinity"))
    group, _ = await running(here, "backend", pin(release))
    caught, typed, sizes = _Caught(), asyncio.Queue[bytes](), asyncio.Queue[tuple[int, int]]()

    async def stdin() -> AsyncIterator[bytes]:
        while True:
            yield await typed.get()

    async def size() -> AsyncIterator[tuple[int, int]]:
        while True:
            yield await sizes.get()

    sizes.put_nowait((91, 33))
    script = """
        trap "echo caught" INT
        until [ "$(stty size)" = "33 91" ]; do sleep 0.1; done; echo first
        until [ "$(stty size)" = "50 120" ]; do sleep 0.1; done; exit 3
    """
    inside = Inside(here.api, here.area.namespace)
    going = asyncio.create_task(inside.run(group, ["sh", "-c", script], caught.streams(stdin(), size())))
    await caught.until(b"first")
    typed.put_nowait(b"\x03")
    await caught.until(b"caught")
    sizes.put_nowait((120, 50))
    async with asyncio.timeout(30):
        assert await going == 3
