"""Fixtures of the tests that need a cluster."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lightkube import ApiError, Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod

from tests.kubernetes.cluster import Absent, Cluster, find, must_be_there

pytest.register_assert_rewrite("tests.faults.rest", "tests.kubernetes.shops")

HERE = Path(__file__).parent
SECONDS_PER_TEST = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder have the mark, so that none of them gets into `make test`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A test that waits for something that never comes fails where it waits, instead of holding up all others."""

    def over(*_: object) -> None:
        raise AssertionError(f"not done after {SECONDS_PER_TEST} s")

    former = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS_PER_TEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Absent, its tests are skipped, with the reason; in CI they fail where a cluster could have been started."""
    try:
        return find()
    except Absent as absent:
        if must_be_there():
            pytest.fail(str(absent))
        pytest.skip(str(absent))


@pytest.fixture
def namespace_name(cluster: Cluster) -> Iterator[str]:
    """A name that no namespace has; if there is one afterwards it is deleted, which the test does not wait for."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    yield name
    with cluster.client() as client, suppress(ApiError):  # none was made, or the test deleted it
        client.delete(Namespace, name)
        # Programs that ignore SIGTERM would hold it up for half a minute.
        client.deletecollection(Pod, namespace=name, grace_period=1)


@pytest.fixture
def namespace(cluster: Cluster, namespace_name: str) -> str:
    """An empty namespace with the strictest pod security."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster.client() as client:
        client.create(Namespace(metadata=ObjectMeta(name=namespace_name, labels=labels)))
    return namespace_name


@pytest.fixture
def client(cluster: Cluster, namespace: str) -> Iterator[Client]:
    """An administrator's, of that namespace."""
    with cluster.client(namespace) as connected:
        yield connected
