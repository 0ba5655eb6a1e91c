"""What instances print."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.instances import program, running
from tests.kubernetes.place import Place, pin, place
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, POD
from tidegate.drivers.kubernetes.logs import Logs
from tidegate.ports.target import LogLine

pytestmark = pytest.mark.anyio
# It prints its lines, then ends as soon as it is told to by the file.
TALKS = "for i in 1 2 3; do echo line $i; done; until [ -e /tmp/end ]; do sleep 0.1; done; echo over"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    made = place(cluster.context, cluster.kubeconfig, namespace, cluster.images["base"])
    yield made
    await made.close()


async def test_the_last_lines_of_each_instance_are_shown(here: Place) -> None:
    """With the name of its component and its own."""
    release = here.releases.make("backend", "1", program(TALKS))
    group, names = await running(here, "backend", pin(release, replicas=2), replicas=2)
    lines = [line async for line in Logs(here.area).lines((group,), (), tail=2, follow=False)]
    assert lines == [LogLine("backend", name, text) for name in sorted(names) for text in ("line 2", "line 3")]


async def test_whoever_follows_sees_new_lines_those_after_a_restart_and_those_of_instances_that_come(
    here: Place,
) -> None:
    """Nothing twice, nothing lost."""
    release = here.releases.make("backend", "1", program(TALKS))
    group, (first,) = await running(here, "backend", pin(release))
    seen: list[LogLine] = []
    news = asyncio.Event()

    async def follow() -> None:
        async for line in Logs(here.area).lines((group,), (), tail=1, follow=True):
            seen.append(line)
            news.set()

    async def until(texts: list[str], pod: str) -> None:
        async with asyncio.timeout(60):
            while [line.text for line in seen if line.instance == pod] != texts:
                news.clear()
                await news.wait()

    following = asyncio.create_task(follow())
    try:
        await until(["line 3"], first)
        await _touch(here, first)
        await until(["line 3", "over", "line 1", "line 2", "line 3"], first)
        await here.api.patch(DEPLOYMENT, group.name, here.area.namespace, {"spec": {"replicas": 2}})

        def another() -> str | None:
            names = [str(pod["metadata"]["name"]) for pod in here.area.mirror.objects(POD).values()]
            return next((name for name in names if name != first), None)

        second = await here.area.until(another, seconds=60)
        assert second
        await until(["line 1", "line 2", "line 3"], second)
        assert not following.done()
    finally:
        following.cancel()
        await asyncio.wait([following])


async def _touch(here: Place, pod: str) -> None:
    from tidegate.drivers.kubernetes.inside import Inside
    from tidegate.model.address import GroupAddress
    from tidegate.ports.target import Streams

    inside = Inside(here.api, here.area.namespace)
    streams = Streams(stdout=bytearray().extend, stderr=bytearray().extend)
    assert await inside.run(GroupAddress("stage", "backend", 1), ["touch", "/tmp/end"], streams) == 0
