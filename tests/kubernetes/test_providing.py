"""Resources that the environment runs, and checks of candidates."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.instances import program, running
from tests.kubernetes.place import Place, pin, place
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, JOB, POD, PVC, SERVICE
from tidegate.drivers.kubernetes.providing import Providing
from tidegate.drivers.kubernetes.verifying import Verifying
from tidegate.errors import StepFailed
from tidegate.model.component import Health, HealthKind
from tidegate.model.pins import Resource
from tidegate.model.step import Provide, Verify, Withdraw

pytestmark = pytest.mark.anyio
SERVER = 'h.HTTPServer(("", int(os.environ["PORT"])), h.SimpleHTTPRequestHandler)'
LISTENS = f"import http.server as h, os; {SERVER}.serve_forever()"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[Place]:
    made = place(cluster.context, cluster.kubeconfig, namespace, cluster.images["python"])
    yield made
    await made.close()


async def test_a_candidate_is_checked_from_inside_the_cluster(here: Place) -> None:
    """By its own command, with its own variables and its address; what fails says its last words, nothing is left."""
    verifying = Verifying(here.area, here.claims, here.sources, "")
    epoch = await here.epoch()
    ask = "python3 -c 'import os, urllib.request; print(urllib.request.urlopen(os.environ[\"TIDEGATE_URL\"]).status)'"
    good = here.releases.make("backend", "1", program(f"python3 -c '{LISTENS}'", verify=ask, listens=True))
    group, _ = await running(here, "backend", pin(good))
    await verifying.verify(Verify(group, good.digest), epoch)
    bad = here.releases.make("frontend", "1", program("sleep infinity", verify="echo it is not right; exit 4"))
    group, _ = await running(here, "frontend", pin(bad))
    for _ in range(2):
        with pytest.raises(StepFailed) as failure:
            await verifying.verify(Verify(group, bad.digest), epoch)
        assert failure.value.component == "frontend"
        assert failure.value.log == ("it is not right",)
        assert "ended with 4" in failure.value.detail
    assert not [job for job in (await here.api.list(JOB, here.area.namespace)).items if not _going(job)]


async def test_a_resource_runs_keeps_its_data_and_is_replaced_when_it_is_another(here: Place) -> None:
    """Under one address; withdrawn, nothing of it is left but its data."""
    providing = Providing(here.area, here.claims)
    epoch = await here.epoch()
    image = here.releases.image
    note = "echo $0 >> $DATA/started; "
    first = Resource(f"{note} python3 -c '{LISTENS}'", "http://$HOST:$PORT", Health(HealthKind.TCP), True, 500, image)
    second = Resource(f"{note} {note} exec python3 -c '{LISTENS}'", first.url, first.health, True, 500, image)
    for spec in (first, first, second):
        await providing.provide(Provide("files", spec), epoch)
        (deployment,) = (await here.api.list(DEPLOYMENT, here.area.namespace)).items
        assert deployment["metadata"]["annotations"]["tidegate.dev/identity"] == spec.identity
    await providing.withdraw(Withdraw("files"), epoch)
    await providing.withdraw(Withdraw("files"), epoch)
    for kind in (DEPLOYMENT, POD, SERVICE):
        assert (await here.api.list(kind, here.area.namespace)).items == []
    assert len((await here.api.list(PVC, here.area.namespace)).items) == 1


async def test_a_resource_that_cannot_run_says_why(here: Place) -> None:
    """No image is named, or its program ends."""
    providing = Providing(here.area, here.claims)
    epoch = await here.epoch()
    with pytest.raises(StepFailed) as missing:
        await providing.provide(Provide("files", Resource("sleep 1", "http://$HOST:$PORT")), epoch)
    assert "image:" in missing.value.hint
    ends = Resource("echo cannot go on; exit 3", "http://$HOST:$PORT", image=here.releases.image)
    with pytest.raises(StepFailed) as failure:
        await providing.provide(Provide("files", ends), epoch)
    assert failure.value.component == "files"
    assert "cannot go on" in failure.value.log


def _going(job: dict[str, object]) -> bool:
    metadata = job["metadata"]
    assert isinstance(metadata, dict)
    return "deletionTimestamp" in metadata
