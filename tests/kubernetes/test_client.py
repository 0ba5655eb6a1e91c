"""What the client promises over an API server that is away, busy, forgetful, or says no."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.ailments import deployment, quota
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.faulty import FaultyApi, writes
from tidegate.drivers.kubernetes import client
from tidegate.drivers.kubernetes.client import (
    AlreadyThere,
    Api,
    ConflictError,
    ForbiddenError,
    InvalidError,
    MissingError,
    NamespaceEnding,
    NotSignedIn,
    PodSilent,
    QuotaError,
    RefusedError,
)
from tidegate.drivers.kubernetes.kinds import CONFIG_MAP, HTTP_ROUTE, INGRESS, NAMESPACE, POD, SERVICE_ACCOUNT, ApiKind
from tidegate.errors import TargetUnreachable

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    made = Api.connect(cluster.context, kubeconfig=cluster.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[FaultyApi]:
    with FaultyApi(cluster.kubeconfig, cluster.context) as between:
        yield between


@pytest.fixture
async def through(cluster: Cluster, faulty: FaultyApi, tmp_path: Path) -> AsyncIterator[Api]:
    made = Api.connect(cluster.context, kubeconfig=faulty.kubeconfig(tmp_path))
    yield made
    await made.close()


def note(namespace: str, name: str = "note", text: str = "a", **metadata: Any) -> Json:
    """A small object."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"text": text},
    }


async def text(api: Api, namespace: str, name: str = "note") -> str | None:
    found = await api.get(CONFIG_MAP, name, namespace)
    return None if found is None else str(found["data"]["text"])


async def by_another(api: Api, obj: Json) -> None:
    """Somebody who uses kubectl sets these fields."""
    path = CONFIG_MAP.path(obj["metadata"]["namespace"], obj["metadata"]["name"])
    await api.raw("PATCH", path, params={"fieldManager": "kubectl", "force": "true"}, body=obj, content=APPLY)


async def test_ten_seconds_without_an_api_server_are_survived(through: Api, faulty: FaultyApi, namespace: str) -> None:
    await through.apply(note(namespace))
    faulty.down()
    back = threading.Timer(10, faulty.up)
    back.start()
    try:
        await asyncio.gather(
            through.apply(note(namespace, text="b")),
            through.create(note(namespace, "other")),
            through.list(CONFIG_MAP, namespace),
        )
    finally:
        back.join()
    assert await text(through, namespace) == "b"


async def test_away_for_good_is_unreachable_and_never_nothing_there(
    cluster: Cluster, faulty: FaultyApi, namespace: str, tmp_path: Path
) -> None:
    api = Api.connect(cluster.context, kubeconfig=faulty.kubeconfig(tmp_path), patience=0.5)
    await api.apply(note(namespace))
    faulty.down()
    for asked in (
        api.get(CONFIG_MAP, "note", namespace),
        api.list(CONFIG_MAP, namespace),
        api.delete(CONFIG_MAP, "note", namespace),
        api.patch(CONFIG_MAP, "note", namespace, {}, missing_ok=True),
        api.has(ApiKind("apps/v1", "Deployment", "deployments")),
        api.pod_request(namespace, "pod", 80, "GET", "/"),
    ):
        with pytest.raises(TargetUnreachable, match="did not answer"):
            await asked
    faulty.up()
    assert await text(api, namespace) == "a"
    await api.close()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_a_server_that_is_busy_is_asked_again(through: Api, faulty: FaultyApi, namespace: str, code: int) -> None:
    faulty.answer(code, lambda _: True, times=3)
    await through.apply(note(namespace))
    assert faulty.count("PATCH", "configmaps") == 4


async def test_a_server_that_wants_to_be_left_alone_is(through: Api, faulty: FaultyApi, namespace: str) -> None:
    faulty.answer(429, lambda _: True, times=None, retry_after=1000)
    with pytest.raises(TargetUnreachable):
        await through.get(CONFIG_MAP, "note", namespace)
    assert faulty.count("GET", "configmaps") == 1


async def test_a_write_whose_answer_is_lost_is_made_once(through: Api, faulty: FaultyApi, namespace: str) -> None:
    faulty.lose()
    await through.apply(note(namespace))
    assert await text(through, namespace) == "a"
    faulty.lose()
    with pytest.raises(AlreadyThere):  # its own: who creates has to look
        await through.create(note(namespace, "other"))
    found = await through.get(CONFIG_MAP, "other", namespace)
    assert found is not None
    faulty.lose()
    with pytest.raises(ConflictError) as caught:
        await through.replace({**found, "data": {"text": "b"}})
    assert caught.value.stale
    assert await text(through, namespace, "other") == "b"
    faulty.lose()
    assert not await through.delete(CONFIG_MAP, "other", namespace)
    assert await text(through, namespace, "other") is None
    assert all(call.name for call in faulty.calls if writes(call) and call.method != "POST")


async def test_a_conflict_names_the_other_manager_and_the_field(api: Api, namespace: str) -> None:
    await api.apply(note(namespace))
    await by_another(api, note(namespace, text="theirs"))
    with pytest.raises(ConflictError) as caught:
        await api.apply(note(namespace, text="ours"))
    assert not caught.value.stale
    assert [(each.manager, each.field) for each in caught.value.causes] == [("kubectl", ".data.text")]
    assert ".data.text is set by kubectl" in str(caught.value)
    assert await text(api, namespace) == "theirs"


async def test_what_was_patched_can_be_applied_but_not_over_somebody_else(api: Api, namespace: str) -> None:
    await api.apply(note(namespace))
    await api.patch(CONFIG_MAP, "note", namespace, {"data": {"text": "b"}})
    found = await api.apply(note(namespace, text="c"))
    assert found["data"]["text"] == "c"
    await api.patch(CONFIG_MAP, "note", namespace, {"data": {"text": "d"}})
    version = (await api.get(CONFIG_MAP, "note", namespace) or {})["metadata"]["resourceVersion"]
    await api.apply(note(namespace, text="e", resourceVersion=version))
    await api.patch(CONFIG_MAP, "note", namespace, {"data": {"more": "ours"}})
    await by_another(api, note(namespace, text="theirs"))
    wanted = note(namespace, text="f")
    wanted["data"]["more"] = "else"
    with pytest.raises(ConflictError, match="kubectl"):
        await api.apply(wanted)
    assert await text(api, namespace) == "theirs"


async def test_what_rests_on_an_old_version_is_refused(api: Api, namespace: str) -> None:
    old = await api.apply(note(namespace))
    await api.apply(note(namespace, text="b"))
    version, uid = old["metadata"]["resourceVersion"], old["metadata"]["uid"]
    for late in (
        api.apply(note(namespace, text="late", resourceVersion=version)),
        api.replace(note(namespace, text="late", resourceVersion=version)),
        api.patch(CONFIG_MAP, "note", namespace, {"data": {"text": "late"}}, version=version),
        api.delete(CONFIG_MAP, "note", namespace, version=version),
    ):
        with pytest.raises(ConflictError) as caught:
            await late
        assert caught.value.stale
    assert await text(api, namespace) == "b"
    await api.delete(CONFIG_MAP, "note", namespace)
    with pytest.raises(ConflictError) as caught:
        await api.apply(note(namespace, text="late", resourceVersion=version, uid=uid))
    assert caught.value.stale
    assert await text(api, namespace) is None


async def test_a_dry_run_changes_nothing(api: Api, namespace: str) -> None:
    await api.apply(note(namespace), dry_run=True)
    await api.create(note(namespace), dry_run=True)
    assert await text(api, namespace) is None


async def test_a_missing_permission_is_named(api: Api, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    weak = Api.connect(cluster.context, kubeconfig=await as_account(api, cluster, namespace, tmp_path))
    with pytest.raises(ForbiddenError) as caught:
        await weak.apply(deployment("x", namespace, "x", {}))
    error = caught.value
    assert (error.verb, error.resource, error.namespace) == ("patch", "deployments.apps", namespace)
    assert error.user == f"system:serviceaccount:{namespace}:somebody"
    assert "lacks the permission to patch deployments.apps" in str(error)
    with pytest.raises(ForbiddenError):
        await weak.get(CONFIG_MAP, "note", namespace)
    await weak.close()


async def test_what_the_api_does_not_take_is_named_by_its_field(api: Api, namespace: str) -> None:
    with pytest.raises(InvalidError, match=r"metadata\.name"):
        await api.apply(note(namespace, "No Name"))
    for asked in (api.apply({**note(namespace), "foo": 1}), api.create({**note(namespace), "foo": 1})):
        with pytest.raises(InvalidError, match="foo"):
            await asked
    with pytest.raises(MissingError, match="nowhere"):
        await api.apply(note("nowhere"))


async def test_the_rules_of_the_cluster_are_told(api: Api, namespace: str) -> None:
    pod = deployment("x", namespace, "x", {})["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}, "spec": pod["spec"]}
    await api.apply(quota(namespace))
    with pytest.raises(QuotaError, match="exceeded quota: small"):
        await api.create(pod)
    container = {**pod["spec"]["containers"][0], "securityContext": {"privileged": True}}
    with pytest.raises(RefusedError, match="violates PodSecurity"):
        await api.create({**pod, "spec": {**pod["spec"], "containers": [container]}})


async def test_a_webhook_that_does_not_answer_is_named_soon(
    api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = {
        "name": "hook.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }
    await api.raw("POST", WEBHOOKS, body=body)
    monkeypatch.setattr("tidegate.drivers.kubernetes.errors.WEBHOOK_PATIENCE", 0.5)
    try:
        await refused(api, namespace, "hook.example.com")
    finally:
        await api.raw("DELETE", f"{WEBHOOKS}/{namespace}")


async def refused(api: Api, namespace: str, by: str) -> None:
    """The rule holds as soon as the API server has heard of it."""
    for number in range(200):
        try:
            await api.create(note(namespace, f"try-{number}"))
        except RefusedError as error:
            said = str(error)
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("nothing was refused")
    assert by in said


async def test_a_namespace_that_is_going_is_told_from_one_that_refuses(api: Api, namespace: str) -> None:
    await api.apply(note(namespace, "holds", finalizers=["example.com/holds"]))
    await api.delete(NAMESPACE, namespace)
    with pytest.raises(NamespaceEnding):
        await api.apply(note(namespace))
    await api.patch(CONFIG_MAP, "holds", namespace, {"metadata": {"finalizers": None}}, missing_ok=True)


async def test_long_lists_are_whole_also_when_they_move_on(
    through: Api, faulty: FaultyApi, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 5)
    await asyncio.gather(*(through.apply(note(namespace, f"n{number}", labels={"a": "b"})) for number in range(12)))
    faulty.answer(410, lambda call: call.page)
    found = await through.list(CONFIG_MAP, namespace, {"a": "b"})
    assert sorted(each["metadata"]["name"] for each in found.items) == sorted(f"n{number}" for number in range(12))
    assert all(each["kind"] == "ConfigMap" for each in found.items)


async def test_lines_come_once_also_when_the_connection_breaks(
    through: Api, faulty: FaultyApi, cluster: Cluster, namespace: str
) -> None:
    counting = "import time\nfor n in range(60):\n    print(n, flush=True)\n    time.sleep(0.05)"
    await run_pod(through, cluster, namespace, ["python3", "-c", counting])
    seen = []
    async for line in through.logs(namespace, "x", "program", tail=None, follow=True):
        seen.append(line)
        if line in {"10", "40"}:
            assert faulty.drop(lambda call: call.resource == "pods/log")
    assert seen == [str(number) for number in range(60)]
    assert faulty.count("GET", "pods/log") >= 3
    assert await through.last_lines(namespace, "x", "program", tail=2) == ("58", "59")


async def test_programs_in_pods_are_asked_through_the_api(api: Api, cluster: Cluster, namespace: str) -> None:
    await run_pod(api, cluster, namespace, ["python3", "-m", "http.server", "8080", "--directory", "/mnt"])
    for _ in range(100):
        try:
            answer = await api.pod_request(namespace, "x", 8080, "GET", "/")
            break
        except PodSilent:  # it is about to listen
            await asyncio.sleep(0.1)
    assert b"Directory listing" in answer
    with pytest.raises(PodSilent, match="404"):
        await api.pod_request(namespace, "x", 8080, "GET", "/nowhere")
    with pytest.raises(PodSilent, match="refused"):
        await api.pod_request(namespace, "x", 8081, "GET", "/")
    with pytest.raises(MissingError):
        await api.pod_request(namespace, "y", 8080, "GET", "/")


async def test_it_knows_what_the_cluster_has(api: Api) -> None:
    assert (await api.version()) >= (1, 25)
    assert await api.has(INGRESS)
    assert not await api.has(ApiKind("example.com/v1", "Nothing", "nothings"))
    assert await api.has(HTTP_ROUTE) in {True, False}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_program_signs_in_once_for_all_who_wait(
    api: Api, cluster: Cluster, namespace: str, tmp_path: Path, version: str
) -> None:
    path = await as_account(api, cluster, namespace, tmp_path, plugin=version)
    signed = Api.connect(cluster.context, kubeconfig=path)
    answers = await asyncio.gather(
        *(signed.get(CONFIG_MAP, "note", namespace) for _ in range(20)), return_exceptions=True
    )
    assert {getattr(each, "user", "") for each in answers} == {f"system:serviceaccount:{namespace}:somebody"}
    runs = (tmp_path / "runs").read_text().splitlines()
    assert len(runs) == 1
    assert json.loads(runs[0])["apiVersion"] == f"client.authentication.k8s.io/{version}"
    assert (await signed.dial("/x")).headers["authorization"].startswith("Bearer ")
    await signed.close()


async def test_a_token_that_the_server_does_not_take_is_asked_for_anew(
    api: Api, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    path = await as_account(api, cluster, namespace, tmp_path, plugin="v1")
    token = (tmp_path / "token").read_text()
    (tmp_path / "token").write_text("not any more")
    signed = Api.connect(cluster.context, kubeconfig=path)
    with pytest.raises(NotSignedIn):
        await signed.get(CONFIG_MAP, "note", namespace)
    (tmp_path / "token").write_text(token)
    with pytest.raises(ForbiddenError):  # it is known who asks
        await signed.get(CONFIG_MAP, "note", namespace)
    await signed.close()


async def test_a_program_that_cannot_sign_in_is_named_with_what_it_said(
    api: Api, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    path = await as_account(api, cluster, namespace, tmp_path, plugin="v1")
    (tmp_path / "sign-in").write_text("#!/bin/sh\necho 'you have been signed out' >&2\nexit 4\n")
    signed = Api.connect(cluster.context, kubeconfig=path)
    with pytest.raises(NotSignedIn, match=r"sign-in .*status 4.*you have been signed out"):
        await signed.get(CONFIG_MAP, "note", namespace)
    await signed.close()


async def as_account(api: Api, cluster: Cluster, namespace: str, folder: Path, *, plugin: str = "") -> Path:
    """A kubeconfig for a ServiceAccount that may do nothing; `plugin` is the version that its program speaks."""
    await api.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody", "namespace": namespace}}
    )
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"{SERVICE_ACCOUNT.path(namespace, 'somebody')}/token"
    token = (await api.raw("POST", path, body=asked))["status"]["token"]
    user: Json = {"token": token}
    if plugin:
        (folder / "token").write_text(token)
        program = folder / "sign-in"
        program.write_text(
            f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> {folder}/runs\n'
            f'echo "{{\\"apiVersion\\": \\"$1\\", \\"kind\\": \\"ExecCredential\\", '
            f'\\"status\\": {{\\"token\\": \\"$(cat {folder}/token)\\"}}}}"\n'
        )
        program.chmod(stat.S_IRWXU)
        version = f"client.authentication.k8s.io/{plugin}"
        user = {"exec": {"apiVersion": version, "command": "./sign-in", "args": [version]}}
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    context = next(each["context"] for each in config["contexts"] if each["name"] == cluster.context)
    context["user"] = "somebody"
    config["users"] = [{"name": "somebody", "user": user}]
    (folder / "weak").write_text(yaml.safe_dump(config))
    return folder / "weak"


async def run_pod(api: Api, cluster: Cluster, namespace: str, command: list[str]) -> None:
    """A pod `x` with a container `program`, once it runs."""
    spec = deployment("x", namespace, cluster.images["base"], {"command": command})["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}}
    await api.create({**pod, "spec": {**spec, "restartPolicy": "Never"}})
    for _ in range(600):
        found = await api.get(POD, "x", namespace)
        if found is not None and found["status"]["phase"] != "Pending":
            return
        await asyncio.sleep(0.1)
    pytest.fail("the pod does not run")
