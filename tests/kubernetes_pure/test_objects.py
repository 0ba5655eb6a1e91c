"""What exists in a cluster for a group, an entry, a run, a resource."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from tests.kubernetes_pure.groups import (
    HTTP,
    NAMESPACE,
    PROXY,
    Json,
    deployment,
    made,
    pod,
    program,
    source,
    variables,
)
from tidegate.drivers.kubernetes import names
from tidegate.drivers.kubernetes.objects.environment import environment_objects
from tidegate.drivers.kubernetes.objects.group import group_objects, secret_object
from tidegate.drivers.kubernetes.objects.jobs import job_object
from tidegate.drivers.kubernetes.objects.metadata import literal, merged
from tidegate.drivers.kubernetes.objects.resources import resource_objects
from tidegate.drivers.kubernetes.objects.services import edge_object, entry_objects
from tidegate.errors import TargetError
from tidegate.model.address import EdgeAddress, GroupAddress
from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure, Patch
from tidegate.model.component import Health, HealthKind, Kind
from tidegate.model.pins import Resource, Secret


@pytest.mark.parametrize("proxy", ["", PROXY])
def test_pods_meet_the_strictest_standard(proxy: str) -> None:
    """Nobody runs as root, gains rights, writes to the image, or talks to the API server."""
    found = pod(source(), proxy=proxy)
    assert found["automountServiceAccountToken"] is False
    assert found["enableServiceLinks"] is False
    assert found["securityContext"]["runAsNonRoot"] is True
    for container in (*found["containers"], *found.get("initContainers", ())):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security["readOnlyRootFilesystem"] is True


def test_programs_get_the_variables_that_they_have_anywhere() -> None:
    """So that they need not know where they run."""
    needs = source(needs=("catalog-db",), settings=b"{}", data=True, env=(("GREETING", "hi"),))
    found = variables(program(replace(needs, resources={"queue": "amqp://there"})))
    assert found == {
        "CATALOG_DB_URL": "http://frontend-r44--catalog-db",
        "DATA": "/data",
        "GREETING": "hi",
        "HOME": "/tmp",
        "PORT": "8080",
        "QUEUE_URL": "amqp://there",
        "TIDEGATE_COMPONENT": "frontend",
        "TIDEGATE_ENVIRONMENT": "stage",
        "TIDEGATE_INSTANCE": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        "TIDEGATE_RELEASE": "a" * 10,
        "TIDEGATE_SETTINGS": "/etc/tidegate/settings.json",
    }


@pytest.mark.parametrize(
    ("text", "sent"),
    [("echo $PORT", "echo $PORT"), ("a $(date) $$", "a $$(date) $$$"), ("$$(x)", "$$$$(x)"), ("$", "$")],
)
def test_what_a_shell_is_to_expand_reaches_the_shell(text: str, sent: str) -> None:
    """A kubelet would replace `$(NAME)` and take `$$` for `$`."""
    assert literal(text) == sent
    assert program(source(run=text))["command"] == ["/bin/sh", "-c", sent]
    assert variables(program(source(env=(("V", text),))))["V"] == sent


def test_an_image_may_have_a_command_of_its_own() -> None:
    """Then `run` is not there."""
    assert "command" not in program(source(run=""))


@pytest.mark.parametrize(
    ("health", "proxy", "expected"),
    [
        (HTTP, "", {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}}),
        (HTTP, PROXY, {"httpGet": {"path": "/healthz", "port": 15080, "scheme": "HTTP"}}),
        (Health(), "", {"tcpSocket": {"port": 8080}}),
        (Health(), PROXY, {"httpGet": {"path": "/connects", "port": 15090, "scheme": "HTTP"}}),
        (Health(HealthKind.COMMAND, "test -f x"), PROXY, {"exec": {"command": ["/bin/sh", "-c", "test -f x"]}}),
    ],
)
def test_an_instance_is_checked_the_way_users_come(health: Health, proxy: str, expected: Json) -> None:
    """And is never restarted because it is unhealthy."""
    found = program(source(health=health), proxy=proxy)
    times = {"periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 4}
    if health is not HTTP:
        times = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3}
    assert found["readinessProbe"] == {**expected, **times}
    assert "livenessProbe" not in found


def test_a_worker_is_healthy_when_it_is_alive_for_a_while() -> None:
    """It has no port, no proxy and nothing to drain."""
    of = source(kind=Kind.WORKER, health=Health(HealthKind.ALIVE, interval=1500))
    found = deployment(of, proxy=PROXY)
    assert found["spec"]["minReadySeconds"] == 2
    spec = found["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    assert spec["terminationGracePeriodSeconds"] == 3 + 5
    assert not {"ports", "readinessProbe", "lifecycle"} & spec["containers"][0].keys()
    assert made(of, "NetworkPolicy") is None


def test_an_instance_that_goes_has_time_for_its_last_requests() -> None:
    """Its drain, then its grace."""
    found = pod(source(drain=1200), proxy=PROXY)
    assert found["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 2}}}
    assert found["terminationGracePeriodSeconds"] == 2 + 3 + 5
    assert found["initContainers"][0]["lifecycle"]["preStop"]["httpGet"]["path"] == "/drain_listeners"
    assert "lifecycle" not in program(source(drain=0))


@pytest.mark.parametrize(("proxy", "expected"), [("", 10), (PROXY, 3)])
def test_nothing_waits_for_clients_that_a_proxy_has_sent_away(proxy: str, expected: int) -> None:
    """It stays as long as nodes may lead new clients to it; a program alone has its whole drain to lose them."""
    found = pod(source(drain=10_000), proxy=proxy)
    assert found["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": expected}}}
    assert found["terminationGracePeriodSeconds"] == 10 + 3 + 5


@pytest.mark.parametrize("proxy", ["", PROXY])
def test_services_lead_to_the_proxy_where_there_is_one(proxy: str) -> None:
    """By the name of the port, so that a selector alone moves them."""
    found = pod(source(port=3000), proxy=proxy)
    named = {
        port["name"]: port["containerPort"]
        for container in (*found["containers"], *found.get("initContainers", ()))
        for port in container["ports"]
    }
    assert named["http"] == (15080 if proxy else 3000)
    to = GroupAddress("stage", "frontend", 44)
    for service in (
        edge_object(NAMESPACE, EdgeAddress(GroupAddress("stage", "x", 1), "frontend"), to),
        entry_objects(NAMESPACE, "frontend", to, source().pin)[0],
    ):
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
        assert (
            service["spec"]["selector"].items()
            <= deployment(source())["spec"]["template"]["metadata"]["labels"].items()
        )


def test_a_program_that_wants_a_low_port_gets_it() -> None:
    """Though it is not root."""
    allowed = pod(source(port=80))["securityContext"]["sysctls"]
    assert allowed == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert "sysctls" not in pod(source(port=8000))["securityContext"]


def test_two_groups_never_write_the_same_data() -> None:
    """The claim is the component's, and there is one pod at a time."""
    found = deployment(source(data=True))
    assert found["spec"]["strategy"] == {"type": "Recreate"}
    assert found["spec"]["template"]["spec"]["securityContext"]["fsGroup"] == 65532
    claim = made(source(data=True), "PersistentVolumeClaim")
    assert claim is not None
    assert claim["metadata"]["name"] == "data--frontend"
    assert names.GROUP not in claim["metadata"]["labels"]  # it stays when the group goes


def test_settings_cannot_change_under_a_program() -> None:
    """They are named by what they say."""
    found = made(source(settings=b'{"a": 1}'), "ConfigMap")
    assert found is not None
    assert found["immutable"] is True
    assert found["metadata"]["name"] == "frontend--settings-" + "b" * 10
    assert found["data"] == {"settings.json": '{"a": 1}'}
    binary = made(source(settings=b"\xff"), "ConfigMap")
    assert binary is not None
    assert binary["binaryData"] == {"settings.json": base64.b64encode(b"\xff").decode()}


def test_secrets_are_in_no_object_but_their_own() -> None:
    """Pods refer to them; those that the cluster has already are never read."""
    of = source(env=(("KEY", Secret("env:KEY")), ("THERE", Secret("kubernetes:vault/token"))))
    found = secret_object(NAMESPACE, of, {"KEY": "hush"})
    assert found is not None
    assert found["data"] == {"KEY": base64.b64encode(b"hush").decode()}
    assert found["metadata"]["labels"][names.GROUP] == "frontend-r44"
    assert "hush" not in json.dumps(group_objects(NAMESPACE, of, proxy=PROXY))
    read = variables(program(of))
    assert read["KEY"] == {"secretKeyRef": {"name": found["metadata"]["name"], "key": "KEY"}}
    assert read["THERE"] == {"secretKeyRef": {"name": "vault", "key": "token"}}
    assert secret_object(NAMESPACE, source(), {}) is None


def test_from_two_instances_on_one_always_stays() -> None:
    """A node that is emptied takes one at a time."""
    assert made(source(replicas=1), "PodDisruptionBudget") is None
    found = made(source(replicas=2), "PodDisruptionBudget")
    assert found is not None
    assert found["spec"]["maxUnavailable"] == 1


def test_how_many_there_are_is_up_to_an_autoscaler() -> None:
    """The Deployment says nothing about it."""
    of = source(cluster=ClusterShape(autoscale=Autoscale(2, 9, 70)))
    found = made(of, "HorizontalPodAutoscaler")
    assert found is not None
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (2, 9)
    assert "replicas" not in deployment(of)["spec"]
    assert made(of, "PodDisruptionBudget") is not None


def test_what_is_referred_to_comes_before_what_refers() -> None:
    """Objects are applied in their order."""
    of = source(settings=b"{}", data=True, replicas=2, cluster=ClusterShape(autoscale=Autoscale(2, 3)))
    assert [each["kind"] for each in group_objects(NAMESPACE, of, proxy="")] == [
        "ServiceAccount",
        "ConfigMap",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ]


def test_what_may_be_written_is_said() -> None:
    """Everything else is read-only."""
    found = program(source(cluster=ClusterShape(writable=("/var/cache",))))
    assert [mount["mountPath"] for mount in found["volumeMounts"]] == ["/tmp", "/var/cache"]


def test_other_names_of_a_component_lead_where_the_edge_leads() -> None:
    """Code that calls them gets the same revision as code that calls the edge."""
    of = source(needs=("backend",))
    alias = Alias("sample-app-backend-service", 9000)
    known = replace(of, aliases={"backend": (alias,)}, addresses={"backend": "10.0.0.7"})
    (entry,) = pod(known)["hostAliases"]
    assert entry["ip"] == "10.0.0.7"
    assert "sample-app-backend-service" in entry["hostnames"]
    assert "hostAliases" not in pod(replace(known, addresses={}))
    edge = edge_object(NAMESPACE, EdgeAddress(of.group, "backend"), None, aliases=[alias, Alias("b")])
    assert [port["port"] for port in edge["spec"]["ports"]] == [80, 9000]


def test_an_edge_that_leads_nowhere_selects_nothing() -> None:
    """Without a selector it would go on leading where it did."""
    edge = edge_object(NAMESPACE, EdgeAddress(source().group, "backend"), None)
    assert edge["spec"]["selector"] == {names.GROUP: "none", names.ROLE: "instance"}
    assert names.leads_to(edge) is None


@pytest.mark.parametrize(
    ("expose", "kinds", "service"),
    [
        (Exposure.INSIDE, ["Service", "Service"], "ClusterIP"),
        (Exposure.NODE_PORT, ["Service", "Service", "NetworkPolicy"], "NodePort"),
        (Exposure.LOAD_BALANCER, ["Service", "Service", "NetworkPolicy"], "LoadBalancer"),
        (Exposure.INGRESS, ["Service", "Service", "NetworkPolicy", "Ingress"], "ClusterIP"),
        (Exposure.GATEWAY, ["Service", "Service", "NetworkPolicy", "HTTPRoute"], "ClusterIP"),
    ],
)
def test_an_entry_is_shown_as_it_was_asked_for(expose: Exposure, kinds: list[str], service: str) -> None:
    """Its other names are for programs inside."""
    shape = ClusterShape(expose=expose, host="shop.acme.example", via="infra/main", aliases=(Alias("old-name", 8000),))
    of = source(cluster=shape)
    pin = replace(of.pin, shape=replace(of.pin.shape, exposed=expose is not Exposure.INSIDE))
    found = entry_objects(NAMESPACE, "frontend", of.group, pin)
    assert [each["kind"] for each in found] == kinds
    assert found[0]["spec"]["type"] == service
    assert (found[1]["metadata"]["name"], found[1]["spec"]["type"]) == ("old-name", "ClusterIP")


def test_nothing_enters_unless_it_needs_to() -> None:
    """The counters of the proxies are asked by the API server, which is no pod."""
    namespace, closed = environment_objects(NAMESPACE, "stage", "acme")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert closed["spec"]["ingress"] == [{"ports": [{"port": 15090, "protocol": "TCP"}]}]
    admits = made(source("backend"), "NetworkPolicy")
    assert admits is not None
    caller = deployment(source(needs=("backend",)))["spec"]["template"]["metadata"]["labels"]
    stranger = deployment(source("other"))["spec"]["template"]["metadata"]["labels"]
    let_in = [each["podSelector"]["matchLabels"].items() for each in admits["spec"]["ingress"][0]["from"]]
    assert any(each <= caller.items() for each in let_in)
    assert not any(each <= stranger.items() for each in let_in)


def test_a_patch_changes_what_it_says() -> None:
    """As RFC 7396 has it."""
    assert merged({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": None, "c": [2]}, "e": {"f": None}}) == {
        "a": {"c": [2]},
        "d": 2,
        "e": {},
    }
    patch = Patch("Deployment", '{"spec":{"template":{"spec":{"priorityClassName":"high"}}}}')
    assert pod(source(cluster=ClusterShape(patches=(patch,))))["priorityClassName"] == "high"


@pytest.mark.parametrize(
    "patch",
    [
        '{"metadata":{"labels":{"tidegate.dev/group":"other"}}}',
        '{"metadata":{"annotations":null}}',
        '{"metadata":{"name":"other"}}',
        '{"kind":"DaemonSet"}',
        '{"spec":{"template":{"metadata":{"labels":null}}}}',
        '{"spec":{"selector":{"matchLabels":{"a":"b"}}}}',
        "7",
    ],
)
def test_a_patch_never_takes_an_object_away_from_tidegate(patch: str) -> None:
    """What it knows the object by stays."""
    with pytest.raises(TargetError, match="cannot patch the Deployment frontend-r44"):
        deployment(source(cluster=ClusterShape(patches=(Patch("Deployment", patch),))))


def test_a_command_runs_once_whatever_happens() -> None:
    """A node that goes takes it along; nobody starts it again."""
    of = source(needs=("backend",), env=(("KEY", Secret("env:KEY")),))
    found = job_object(
        NAMESPACE,
        "frontend-before-1",
        of,
        "migrate",
        role="run",
        annotations={"a": "b"},
        timeout_ms=1500,
        needs={"backend": "http://backend"},
        env={"EXTRA": "1"},
    )
    assert found["spec"]["backoffLimit"] == 0
    assert found["spec"]["activeDeadlineSeconds"] == 2
    spec = found["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["containers"][0]["command"] == ["/bin/sh", "-c", "migrate"]
    read = variables(spec["containers"][0])
    assert (read["BACKEND_URL"], read["EXTRA"]) == ("http://backend", "1")
    assert "PORT" not in read
    secret = secret_object(NAMESPACE, of, {"KEY": "x"}, owner="frontend-before-1", role="run")
    assert secret is not None
    assert read["KEY"]["secretKeyRef"]["name"] == secret["metadata"]["name"]


def test_a_resource_is_reached_by_those_that_use_it() -> None:
    """Its address is that of its Service; its data outlive it."""
    spec = Resource("postgres -p $PORT", "postgresql://$HOST:${PORT}/$PORTX", data=True, image="db@sha256:" + "d" * 64)
    objects = resource_objects(NAMESPACE, "stage", "orders-db", spec)
    assert [each["kind"] for each in objects] == [
        "ServiceAccount",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "Service",
        "Deployment",
    ]
    assert objects[-1]["metadata"]["annotations"][names.URL] == (
        "postgresql://resource--orders-db.acme-stage:8080/$PORTX"
    )
    admitted = objects[2]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    user = replace(source(), resources={"orders-db": "postgresql://…"})
    assert admitted.items() <= deployment(user)["spec"]["template"]["metadata"]["labels"].items()
