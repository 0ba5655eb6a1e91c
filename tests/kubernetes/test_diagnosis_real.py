"""Every cause that is provoked on the real cluster is told in plain words, and no instance that is well is blamed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.kubernetes.ailments import ailments, deployment, quota, rules
from tests.kubernetes.cluster import Cluster
from tidegate.drivers.kubernetes.client import Api, RefusedError
from tidegate.drivers.kubernetes.diagnosis import Verdict, why_not
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, EVENT, NAMESPACE, POD

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("diagnosis")]

Json = dict[str, Any]
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
LONG = 60.0  # seconds; what is certain last takes twenty
TOLD = {
    "crash": "^exited with 3$",
    "gone": "^exited with 0: it has to stay",
    "signal": r"^was ended by signal 11 \(SIGSEGV\)",
    "memory": "^used more memory than its limit of 32Mi",
    "image": "^cannot have its image .*: not found$",
    "image-name": "whose name is none: No Such Name",
    "registry": "^cannot have its image .*connection refused",
    "root": "has an image that runs as root",
    "secret": '^cannot be set up: secret "nowhere" not found',
    "mount": 'configmap "nowhere" not found',
    "command": "^cannot be started: .*/nowhere.*no such file",
    "liveness": "^was ended because its check failed: .*connection refused",
    "room": "^finds no node: .*Insufficient cpu$",
    "claim": 'persistentvolumeclaim "nowhere" not found$',
    "security": "does not let it start: violates PodSecurity .*privileged",
    "limit": "maximum memory usage per Container is 2Gi, but limit is 3Gi",
    "account": 'serviceaccount "nowhere" not found',
    "policy": "that variable is not for you",
    "quota": "does not let it start: exceeded quota: small",
}
UNCERTAIN = {
    "answer": "^runs, but its check fails: it answers 404",
    "silent": "^runs, but its check fails: .*connection refused",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    made = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
async def crowded(api: Api, namespace: str) -> AsyncIterator[str]:
    """A second namespace, which has room for nothing."""
    name = f"{namespace}-full"
    await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await api.apply(quota(name))
    yield name
    await api.delete(NAMESPACE, name)


@pytest.fixture
async def ruled(api: Api, namespace: str) -> AsyncIterator[str]:
    """The namespace, with rules of the cluster that hold already."""
    bindings = POLICIES.replace("policies", "policybindings")
    paths = {"ValidatingAdmissionPolicy": POLICIES, "ValidatingAdmissionPolicyBinding": bindings}
    for rule in rules(namespace):
        if rule["kind"] in paths:
            await api.raw("POST", paths[rule["kind"]], body=rule)
        else:
            await api.apply(rule)
    refused = deployment("x", namespace, "x", ailments({"base": "x"}, "")["policy"])["spec"]["template"]
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}}
    for _ in range(400):
        try:
            await api.create({**probe, "spec": refused["spec"]}, dry_run=True)
        except RefusedError:
            break
        await asyncio.sleep(0.05)
    yield namespace
    for path in paths.values():
        await api.raw("DELETE", f"{path}/{namespace}")


async def test_every_cause_is_told_as_soon_as_it_is_certain(
    api: Api, cluster: Cluster, ruled: str, crowded: str
) -> None:
    all_of_them = ailments(cluster.images, cluster.registry)
    assert set(all_of_them) == {*TOLD, *UNCERTAIN, "well"}
    for name, ailment in all_of_them.items():
        where = crowded if name == "quota" else ruled
        await api.apply(deployment(name, where, cluster.images["base"], ailment))
    told: dict[str, Verdict] = {}
    words: dict[str, tuple[str, ...]] = {}
    end = time.monotonic() + LONG
    while not (set(TOLD) <= told.keys() and set(UNCERTAIN) <= told.keys()) and time.monotonic() < end:
        for where in (ruled, crowded):
            for name, verdict in (await verdicts(api, where)).items():
                if verdict is not None and (name in UNCERTAIN or (verdict.certain and name not in told)):
                    told[name] = verdict
                    if verdict.wants_log:
                        words[name] = await api.last_lines(
                            where, verdict.pod, verdict.container, tail=5, previous=verdict.previous
                        )
        await asyncio.sleep(0.2)
    for name, pattern in (TOLD | UNCERTAIN).items():
        assert name in told, f"{name}: nothing is certain"
        assert re.search(pattern, told[name].reason), (name, told[name])
        assert told[name].certain == (name in TOLD), (name, told[name])
    assert "well" not in told
    assert words["crash"] == ("the database is not there",)
    assert "USER 65532" in told["root"].hint
    assert "limits" in told["memory"].hint


async def verdicts(api: Api, namespace: str) -> Mapping[str, Verdict | None]:
    """What is thought of each Deployment now."""
    found, pods, events = await asyncio.gather(*(api.list(kind, namespace) for kind in (DEPLOYMENT, POD, EVENT)))
    own: dict[str, list[Json]] = {}
    for pod in pods.items:
        own.setdefault(pod["metadata"]["labels"]["app"], []).append(pod)
    return {
        each["metadata"]["name"]: why_not(each, own.get(each["metadata"]["name"], []), events.items, api.now())
        for each in found.items
    }
