"""`tidegate import` drops nothing silently: what it cannot carry over has a line with its file and place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.discovery.test_import import TUTORIAL, accepted, pod, read

from tidegate.discovery.kubernetes import Where
from tidegate.errors import TidegateError

IN_CONTAINER = [
    ("volumeMounts: [{name: v, mountPath: /x}]", "the volume v at /x is not carried over: the pod has none"),
    ("readinessProbe: {grpc: {port: 8080}}", "health by grpc is not carried over"),
    ("readinessProbe: {httpGet: {path: /, port: admin}}", "health is asked at port admin"),
    ("readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTPS}}", "health over HTTPS becomes a connection"),
    ("readinessProbe: {httpGet: {path: /, port: 8080, host: x}}", "readinessProbe.httpGet.host is not carried over"),
    (
        "{readinessProbe: {tcpSocket: {port: 8080}}, livenessProbe: {httpGet: {path: /live, port: 8080}}}",
        "livenessProbe asks something else than readinessProbe",
    ),
    ("ports: [{containerPort: 8080}, {containerPort: 9090}]", "the port 9090 is not carried over: web has 8080 alone"),
    ("ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]", "the port 53 of UDP is not carried over"),
    ("env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "POD is not carried over"),
    ("env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}]", "no ConfigMap m with the key k is in"),
    ("envFrom: [{configMapRef: {name: m}}]", "the variables of ConfigMap m are not carried over"),
    ("envFrom: [{secretRef: {name: s}}]", "the variables of Secret s are not carried over"),
    ("env: [{name: a.b, value: c}]", "'a.b' cannot be the name of an environment variable here"),
    ("env: [{name: DATA, value: c}]", "DATA is not carried over: Tidegate sets it itself"),
    (
        "env: [{name: P, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: U, value: x/$(P)}]",
        "U is not carried over: it is put together from the secret P",
    ),
    ("resources: {limits: {memory: lots}}", "'memory' must be a quantity, not 'lots'; it is not carried over"),
    ("lifecycle: {preStop: {exec: {command: [sleep, '5']}}}", "lifecycle is not carried over"),
    ("securityContext: {privileged: true}", "securityContext.privileged is not carried over"),
    ("securityContext: {runAsUser: 0}", "runAsUser: 0 is not carried over"),
    ("securityContext: {capabilities: {add: [NET_ADMIN]}}", "securityContext.capabilities.add is not carried over"),
    ("securityContext: {seccompProfile: {type: Unconfined}}", "the profile of seccomp is not carried over"),
    ("workingDir: /app", "containers.workingDir is not carried over"),
    ("resizePolicy: [{resourceName: cpu}]", "containers.resizePolicy is not carried over"),
    ("env: {A: b}", "containers.env must be a list, not a table"),
]
IN_POD = [
    ("{initContainers: [{name: i, image: b}]}", "spec.template.spec.initContainers is not carried over"),
    ("{tolerations: [{key: a, operator: Exists}]}", "tolerations is not carried over"),
    ("{affinity: {nodeAffinity: {x: y}}}", "affinity is not carried over"),
    ("{nodeSelector: {disk: ssd}}", "nodeSelector is not carried over"),
    ("{hostNetwork: true}", "hostNetwork is not carried over"),
    ("{serviceAccountName: robot}", "serviceAccountName is not carried over"),
    ("{imagePullSecrets: [{name: r}]}", "imagePullSecrets is not carried over"),
    (
        "{terminationGracePeriodSeconds: soon}",
        "terminationGracePeriodSeconds must be a whole number up to 86400, not 'soon'",
    ),
    ("{volumes: [{name: h, hostPath: {path: /}}]}", "spec.template.spec.volumes.hostPath is not carried over"),
]


def said(root: Path, text: str) -> list[str]:
    """`LINE: MESSAGE HINT`, of what is not carried over; the rest has to load."""
    imported, _, _ = accepted(root, text)
    assert {one.file for one in imported.left} <= {"k8s/all.yaml"}
    return [f"{one.line}: {one.message} {one.hint}" for one in imported.left]


def line_of(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if word in line)


@pytest.mark.parametrize(("container", "message"), IN_CONTAINER)
def test_what_a_container_has_and_a_component_has_not(container: str, message: str, tmp_path: Path) -> None:
    """One line, which names the Deployment."""
    (one,) = said(tmp_path, pod(container))
    assert message in one
    assert "Deployment web: " in one


@pytest.mark.parametrize(("more", "message"), IN_POD)
def test_what_a_pod_has_and_a_component_has_not(more: str, message: str, tmp_path: Path) -> None:
    """At the line where the key stands."""
    text = pod("{}", more)
    (one,) = said(tmp_path, text)
    assert message in one
    key = next(iter(yaml.safe_load(more)))
    assert int(one.partition(":")[0]) in {line_of(text, f"{key}:"), line_of(text, f"{key}:") + 2}


@pytest.mark.parametrize(
    ("volume", "hint"),
    [
        ("hostPath: {path: /var/run}", "nothing of the node"),
        ("configMap: {name: nginx-conf}", "into the image"),
        ("secret: {secretName: tls}", "{secret: …}"),
        ("nfs: {server: a, path: /}", ""),
    ],
)
def test_volumes_that_are_neither_data_nor_empty(volume: str, hint: str, tmp_path: Path) -> None:
    """Their kind, their path, and what to do instead."""
    more = f"{{volumes: [{{name: v, {volume}}}]}}"
    (one,) = said(tmp_path, pod("volumeMounts: [{name: v, mountPath: /etc/x, readOnly: true}]", more))
    assert f"the volume v ({volume.partition(':')[0]}) at /etc/x is not carried over" in one
    assert hint in one


def test_more_containers_are_named(tmp_path: Path) -> None:
    """The first one is the component."""
    (first, *_), *_ = [list(yaml.safe_load_all(pod()))]
    first["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "envoy", "args": ["-x"]})
    text = yaml.safe_dump(first)
    (one,) = said(tmp_path, text)
    assert "Deployment web: the container proxy is not carried over A component is one container." in one
    assert int(one.partition(":")[0]) == line_of(text, "name: proxy")


@pytest.mark.parametrize(
    ("api", "kind", "word"),
    [
        ("apps/v1", "DaemonSet", "one on each node"),
        ("v1", "Pod", "Write a Deployment"),
        ("apps/v1", "ReplicaSet", "Write a Deployment"),
        ("v1", "Namespace", "namespace of its own"),
        ("v1", "ServiceAccount", "one of its own"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "no token"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "no token"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "belongs to the cluster"),
        ("acme.example/v1", "Database", ""),
        ("serving.knative.dev/v1", "Service", ""),
        ("networking.k8s.io/v1", "NetworkPolicy", "needs:"),
        ("policy/v1", "PodDisruptionBudget", "from 2 replicas"),
        ("v1", "ConfigMap", "no workload here uses it"),
        ("v1", "Secret", "no workload here uses it"),
        ("v1", "PersistentVolumeClaim", "no workload here uses it"),
    ],
)
def test_objects_of_other_kinds(api: str, kind: str, word: str, tmp_path: Path) -> None:
    """Each by its name, once, whatever is in it."""
    text = f"{pod()}---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: x, labels: {{a: b}}}}\nspec: {{y: [1]}}\n"
    (one,) = said(tmp_path, text)
    line = text[: text.rindex(f"kind: {kind}")].count("\n") + 1
    assert one.startswith(f"{line}: {kind} x: ")
    assert "not carried over" in one
    assert word in one


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {app}}}, {spec}}}\n"


@pytest.mark.parametrize(
    ("name", "app", "spec", "message"),
    [
        ("x", "web", "ports: [{port: 80, targetPort: admin}]", "its pods have no port called 'admin'; named are: none"),
        ("x", "web", "ports: [{port: 80, targetPort: 9090}]", "the port 80 leads to 9090, and is not carried over"),
        ("x", "web", "ports: [{port: 53, protocol: UDP}]", "the port 53 of UDP is not carried over"),
        (
            "x", "web", "ports: [{port: 80, targetPort: 8080}, {port: 81, targetPort: 8080}]",
            "the port 81 is not carried over: the name is kept at port 80",
        ),
        ("x", "web", "type: NodePort, ports: [{port: 8080, nodePort: 30080}]", "the port 30080 of the nodes"),
        ("x", "web", "type: LoadBalancer, ports: [{port: 8080}]", "people reach it at port 80, and no longer at 8080"),
        ("x", "web", "clusterIP: None, ports: [{port: 8080}]", "it gave each pod an address of its own"),
        ("x", "web", "sessionAffinity: ClientIP, ports: [{port: 8080}]", "sessionAffinity is not carried over"),
        ("x", "nobody", "ports: [{port: 80}]", "it leads to no workload in these files"),
        ("1x", "web", "ports: [{port: 8080}]", "the name 1x cannot be kept"),
    ],
)  # fmt: skip
def test_services_that_lead_elsewhere(name: str, app: str, spec: str, message: str, tmp_path: Path) -> None:
    """Ports, types and names that entries do not have."""
    (one,) = said(tmp_path, f"{pod()}---\n{SERVICE.format(name=name, app=app, spec=spec)}")
    assert message in one
    assert f"Service {name}: " in one


def test_an_external_name_is_a_resource(tmp_path: Path) -> None:
    """It leads to nobody here, and the hint says where it goes."""
    spec = "{type: ExternalName, externalName: db.acme.example}"
    text = f"apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {spec}\n"
    (one,) = said(tmp_path, f"{pod()}---\n{text}")
    assert "resources: in tidegate.yaml" in one


def test_a_name_that_leads_to_two_workloads_leads_to_one(tmp_path: Path) -> None:
    """As a canary beside the stable release; who it is has to be said."""
    stable, canary = pod(name="stable"), pod(name="canary")
    both = f"{stable}---\n{canary}".replace("app: stable", "app: x").replace("app: canary", "app: x")
    found = said(tmp_path, both)
    assert any("Service stable: it leads to stable only, and no longer also to canary" in one for one in found)


def test_a_service_called_as_another_component_loses_its_name(tmp_path: Path) -> None:
    """In one environment a name leads to one component."""
    api = pod(name="api").replace("kind: Service\nmetadata:\n  name: api", "kind: Service\nmetadata:\n  name: web")
    (one,) = said(tmp_path, f"{pod().partition('---')[0]}---\n{api}")
    assert "Service web: the name web is not kept for api" in one


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{host: a.acme.example, http: {paths: [{path: /api, backend: BACK}]}}", "the path /api of a.acme.example"),
        (
            "{host: a.acme.example, http: {paths: [{path: /, backend: {service: {name: no}}}]}}",
            "leads to the Service no",
        ),
        ("{http: {paths: [{path: /, backend: BACK}]}}", "web gets no Ingress: it has no host"),
        (
            ", ".join(f"{{host: {one}.acme.example, http: {{paths: [{{path: /, backend: BACK}}]}}}}" for one in "ab"),
            "web has the host a.acme.example alone, and no longer also b.acme.example",
        ),
    ],
)
def test_ways_of_an_ingress_that_a_host_has_not(rule: str, message: str, tmp_path: Path) -> None:
    """A host leads to one component."""
    rules = rule.replace("BACK", "{service: {name: web, port: {number: 80}}}")
    text = f"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i}}\nspec: {{rules: [{rules}]}}\n"
    (one,) = said(tmp_path, f"{pod()}---\n{text}")
    assert message in one


def test_tls_annotations_and_other_metrics_are_told(tmp_path: Path) -> None:
    """What stands beside what is carried over is told as well."""
    text = """\
        ---
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: i, annotations: {nginx/rewrite: /}}
        spec:
          tls: [{hosts: [a.acme.example]}]
          rules: [{host: a.acme.example, http: {paths: [{path: /, backend: {serviceName: web, servicePort: 80}}]}}]
        ---
        apiVersion: autoscaling/v2
        kind: HorizontalPodAutoscaler
        metadata: {name: h}
        spec:
          scaleTargetRef: {kind: Deployment, name: web}
          maxReplicas: 4
          metrics: [{type: Resource, resource: {name: memory, target: {averageUtilization: 5}}}]
          behavior: {scaleDown: {stabilizationWindowSeconds: 1}}
    """
    found = [one.partition(": ")[2] for one in said(tmp_path, pod() + dedent(text))]
    assert [one.partition(" is not carried over")[0] for one in found] == [
        "Ingress i: metadata.annotations.nginx/rewrite",
        "Ingress i: spec.tls",
        "HorizontalPodAutoscaler h: scaling by memory",
        "HorizontalPodAutoscaler h: spec.behavior",
    ]


def test_numbers_out_of_range_duplicates_and_labels_are_told(tmp_path: Path) -> None:
    """The first of two objects of one name counts."""
    text = pod(replicas=0).replace("labels:\n", "labels:\n        tier: front\n")
    found = said(tmp_path, f"{text}---\n{pod()}")
    assert any("Deployment web: replicas is 0; it becomes 1" in one for one in found)
    assert any("labels that select nothing are not carried over: tier" in one for one in found)
    assert any("Deployment web stands here a second time; the first one, at k8s/all.yaml:1, counts" in one
               for one in found)  # fmt: skip


def test_kustomizations_charts_and_other_files_are_left_alone_and_told(tmp_path: Path) -> None:
    """What they would change is not known here."""
    imported = read(
        tmp_path,
        {
            "k8s/base/kustomization.yaml": "resources: [web.yaml]\n",
            "k8s/base/web.yaml": pod(),
            "k8s/chart/Chart.yaml": "name: x\n",
            "k8s/chart/templates/x.yaml": "kind: {{ x }}\n",
            "k8s/values.yaml": "a: b\n",
        },
    )
    told = {one.file: one.message for one in imported.left}
    assert told.keys() == {"k8s/base/kustomization.yaml", "k8s/chart/Chart.yaml", "k8s/values.yaml"}
    assert "not followed" in told["k8s/base/kustomization.yaml"]
    assert "left alone" in told["k8s/chart/Chart.yaml"]


@pytest.mark.parametrize(
    "spec", ["[]", "x", "{template: x}", "{template: {spec: {containers: x}}}", "null", "{template: []}"]
)
def test_workloads_of_another_form_are_told(spec: str, tmp_path: Path) -> None:
    """Whatever stands there: no crash, and one line at least."""
    broken = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: b}}\nspec: {spec}\n"
    assert any("Deployment b: " in one for one in said(tmp_path, f"{pod()}---\n{broken}"))


def test_every_key_of_a_tutorial_is_read_or_told(tmp_path: Path) -> None:
    """Any key of a workload or a Service that is called otherwise gives a line, or another proposal."""
    where = Where("dev")
    before = read(tmp_path, {"k8s/all.yaml": TUTORIAL}).proposal(where, {}).files
    lines = TUTORIAL.splitlines()
    for number, line in enumerate(lines):
        key = line.strip().removeprefix("- ").partition(":")[0]
        names_itself = key in {"apiVersion", "kind", "metadata", "matchLabels"} or "matchLabels" in lines[number - 1]
        if ":" not in line or names_itself:
            continue
        changed = [*lines[:number], line.replace(f"{key}:", f"x{key}:", 1), *lines[number + 1 :]]
        after = read(tmp_path, {"k8s/all.yaml": "\n".join(changed)})
        assert after.left or after.proposal(where, {}).files != before, line


ANYTHING = [
    None,
    "",
    "x",
    0,
    -1,
    10**7,
    True,
    [],
    {},
    ["x"],
    {"x": "y"},
    "80",
    "../x",
    "UDP",
    [None],
    "web",
    "a\nb",
    1.5,
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_the_files_there_is_no_crash(tmp_path: Path, data: st.DataObject) -> None:
    """Any value of a tutorial may be of another kind: a proposal or an error that says what is wrong comes out."""
    objects = list(yaml.safe_load_all(TUTORIAL))
    table = data.draw(st.sampled_from(list(_tables(objects))))
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(st.sampled_from(ANYTHING))
    with suppress(TidegateError):
        read(tmp_path, {"k8s/all.yaml": yaml.safe_dump_all(objects)}).proposal(Where("dev"), {})


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tables(inner)
