"""`tidegate import`: what comes out means the same as the YAML that went in, and loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from tidegate.discovery import Proposal, write
from tidegate.discovery.kubernetes import Imported, Where, current_context, import_folder
from tidegate.errors import ManifestError, TidegateError
from tidegate.manifest import Project, load
from tidegate.model.cluster import Alias, Autoscale, Exposure
from tidegate.model.component import HealthKind, Kind
from tidegate.model.pins import Secret

DIGEST = "sha256:" + "0123456789abcdef" * 4
TUTORIAL = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sample-app-backend-deployment
spec:
  replicas: 3
  selector:
    matchLabels:
      app: sample-app-backend-pods
  template:
    metadata:
      labels:
        app: sample-app-backend-pods
    spec:
      containers:
        - name: sample-app-backend
          image: acme/sample-app-backend:0.0.1
          ports:
            - containerPort: 8080
          env:
            - name: NODE_ENV
              value: production
---
apiVersion: v1
kind: Service
metadata:
  name: sample-app-backend-service
spec:
  type: ClusterIP
  selector:
    app: sample-app-backend-pods
  ports:
    - protocol: TCP
      port: 80
      targetPort: 8080
---
# people come in here
apiVersion: apps/v1
kind: Deployment
metadata:
  name: frontend
spec:
  replicas: 3
  selector:
    matchLabels:
      app: frontend
  template:
    metadata:
      labels:
        app: frontend
    spec:
      containers:
        - name: frontend
          image: registry.acme.example:5000/frontend
          ports:
            - name: web
              containerPort: 3000
          env:
            - name: BACKEND
              value: http://sample-app-backend-service
          readinessProbe:
            httpGet:
              path: /healthz
              port: web
            initialDelaySeconds: 5
          resources:
            requests: {cpu: 250m, memory: 128Mi}
            limits: {memory: 256Mi}
---
apiVersion: v1
kind: Service
metadata:
  name: sample-app-frontend-loadbalancer
spec:
  type: LoadBalancer
  selector:
    app: frontend
  ports:
    - port: 80
      targetPort: web
"""


def read(root: Path, files: dict[str, str]) -> Imported:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))
    return import_folder(Path("k8s"), root)


def accepted(root: Path, files: dict[str, str] | str) -> tuple[Imported, Proposal, Project]:
    imported = read(root, {"k8s/all.yaml": files} if isinstance(files, str) else files)
    proposal = imported.proposal(Where("dev", "kind-shop"), dict.fromkeys(imported.images, DIGEST))
    write(proposal, root)
    return imported, proposal, load(root)


def pod(container: str = "", more: str = "", name: str = "web", **keys: Any) -> str:
    """A Deployment with one container that listens on 8080, unless `container` says otherwise; and its Service."""
    spec = yaml.safe_load(dedent(container)) or {}
    body = {"name": name, "image": f"acme/{name}:1", "ports": [{"containerPort": 8080}], **spec}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [body], **(yaml.safe_load(more) or {})}}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **keys},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    found: str = yaml.safe_dump_all([workload, service], sort_keys=False)
    return found


def test_a_tutorial_becomes_two_services_that_call_each_other_as_before(tmp_path: Path) -> None:
    """Three replicas, ClusterIP and LoadBalancer: names, ports and calls stay, and everything is checked."""
    imported, proposal, project = accepted(tmp_path, TUTORIAL)
    backend, frontend = project.components["sample-app-backend"], project.components["frontend"]
    assert proposal.found == ("k8s/all.yaml",)
    assert imported.left == ()
    assert imported.images == ("acme/sample-app-backend:0.0.1", "registry.acme.example:5000/frontend")
    assert backend.image.ready == f"acme/sample-app-backend@{DIGEST}"
    assert frontend.image.ready == f"registry.acme.example:5000/frontend@{DIGEST}"
    assert project.environments["dev"].target.context == "kind-shop"
    for one, port in ((backend, 8080), (frontend, 3000)):
        assert one.runtime.port == port
        assert one.shape("dev").replicas == 3
        assert one.runtime.run == ""
    assert frontend.runtime.needs == ("sample-app-backend",)
    assert dict(frontend.shape("dev").env) == {"BACKEND": "http://sample-app-backend-service"}
    assert (frontend.runtime.health.kind, frontend.runtime.health.check) == (HealthKind.HTTP, "/healthz")
    cluster = frontend.shape("dev").cluster
    assert cluster is not None
    assert cluster.expose is Exposure.LOAD_BALANCER
    assert dict(cluster.requests) == {"cpu": "250m", "memory": "128Mi"}
    assert dict(cluster.limits) == {"memory": "256Mi"}
    inside = backend.shape("dev").cluster
    assert inside is not None
    assert inside.expose is Exposure.INSIDE
    assert inside.aliases == (Alias("sample-app-backend-service", 80),)
    assert not any("sample-app-backend-service" in one and "Nothing here names" in one for one in proposal.unknown)


def test_who_calls_nobody_knows_of_is_said(tmp_path: Path) -> None:
    """An address in the sources of a program is in no YAML: others would be kept out of what it calls."""
    text = TUTORIAL.replace("value: http://sample-app-backend-service", "value: elsewhere")
    _, proposal, project = accepted(tmp_path, text)
    assert project.components["frontend"].runtime.needs == ()
    assert any(
        "Nothing here names sample-app-backend-service: write needs: [sample-app-backend]" in one
        for one in proposal.unknown
    )


def test_lists_json_and_folders_are_read(tmp_path: Path) -> None:
    """As `kubectl get -o yaml` prints them, with all that a server adds, and in subfolders."""
    objects = list(yaml.safe_load_all(pod()))
    for each in objects:
        each["metadata"] |= {"uid": "1", "resourceVersion": "7", "creationTimestamp": None, "namespace": "shop"}
        each["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
        each["status"] = {"replicas": 3}
    objects[0]["spec"] |= {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}
    objects[0]["spec"]["template"]["spec"] |= {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    }  # fmt: skip
    objects[1]["spec"] |= {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"],
                           "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                           "internalTrafficPolicy": "Cluster"}  # fmt: skip
    other = json.dumps(next(iter(yaml.safe_load_all(pod(name="api")))), indent="\t")
    imported, proposal, project = accepted(
        tmp_path,
        {
            "k8s/deep/all.yml": yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects}),
            "k8s/api.json": other,
            "k8s/.hidden/x.yaml": "kind: [",
            "k8s/package.json": '{"name": "x"}',
        },
    )
    assert [str(one) for one in imported.left] == []
    assert project.components.keys() == {"api", "web"}
    assert project.components["web"].runtime.grace == 30_000
    assert any("The files name the namespace shop" in one for one in proposal.unknown)


def test_all_files_that_are_not_yaml_are_told_at_once(tmp_path: Path) -> None:
    """Each with its line, counted from the top of the file and not of the document; nothing is proposed."""
    with pytest.raises(ManifestError) as refused:
        read(
            tmp_path, {"k8s/a.yaml": TUTORIAL + "---\nkind: Pod\n\tx: 1\n", "k8s/b.yaml": "kind: {{ .Values.kind }}\n"}
        )
    first, second = refused.value.problems
    assert (first.file, first.line) == ("k8s/a.yaml", TUTORIAL.count("\n") + 3)
    assert (second.file, second.line) == ("k8s/b.yaml", 1)
    assert "helm template" in second.hint


def test_a_folder_without_workloads_is_refused_with_what_is_there(tmp_path: Path) -> None:
    """And one that is not there at all."""
    with pytest.raises(TidegateError, match="cannot import k8s") as refused:
        read(tmp_path, {"k8s/a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"})
    assert "Namespace" in refused.value.detail
    with pytest.raises(TidegateError, match="cannot import elsewhere"):
        import_folder(Path("elsewhere"), tmp_path)


def test_images_without_a_digest_are_written_as_they_are_and_refused_by_check(tmp_path: Path) -> None:
    """A tag decides nothing, and is not dropped silently either. What has a digest is asked of nobody."""
    image = f"acme/api:2@{DIGEST}"
    imported = read(tmp_path, {"k8s/a.yaml": pod(), "k8s/b.yaml": pod(f"image: {image}", name="api")})
    assert imported.images == ("acme/web:1",)
    write(imported.proposal(Where("dev"), {}), tmp_path)
    assert (tmp_path / "web/service.yaml").read_text().splitlines()[0] == "image: acme/web:1  # pin it: NAME@sha256:…"
    with pytest.raises(ManifestError) as refused:
        load(tmp_path)
    assert [(one.file, one.line) for one in refused.value.problems] == [("web/service.yaml", 1)]


def test_variables_come_from_everywhere_and_secrets_stay_where_they_are(tmp_path: Path) -> None:
    """ConfigMaps are resolved, Secrets become references; no value of a secret is in any file or message."""
    container = """\
        envFrom: [{configMapRef: {name: common}, prefix: C_}, {secretRef: {name: keys}}]
        env:
          - {name: HOST, value: db}
          - {name: URL, value: "postgres://$(HOST):5432/$$(X)"}
          - {name: LEVEL, valueFrom: {configMapKeyRef: {name: common, key: level}}}
          - {name: DB_USER, valueFrom: {secretKeyRef: {name: db, key: user}}}
          - {name: ADMIN_PASSWORD, value: hunter2}
          - {name: PORT, value: "8080"}
          - {name: EMPTY}
    """
    config = """\
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: common}
        data: {level: debug, size: "3"}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: keys}
        stringData: {API_KEY: hunter2}
        data: {OTHER: aHVudGVyMg==}
    """
    imported, proposal, project = accepted(tmp_path, {"k8s/web.yaml": pod(container), "k8s/config.yaml": config})
    assert dict(project.components["web"].shape("dev").env) == {
        "ADMIN_PASSWORD": Secret("kubernetes:web/ADMIN_PASSWORD"),
        "API_KEY": Secret("kubernetes:keys/API_KEY"),
        "C_level": "debug",
        "C_size": "3",
        "DB_USER": Secret("kubernetes:db/user"),
        "EMPTY": "",
        "HOST": "db",
        "LEVEL": "debug",
        "OTHER": Secret("kubernetes:keys/OTHER"),
        "URL": "postgres://db:5432/$(X)",
    }
    everything = repr(imported.left) + repr(proposal)
    assert "hunter2" not in everything
    assert "aHVudGVyMg" not in everything
    assert any("in the namespace of the environment before `tidegate up`: db, keys, web" in one
               for one in proposal.unknown)  # fmt: skip


@pytest.mark.parametrize(
    ("container", "run"),
    [
        ("command: [node, server.js]\nargs: [--name, 'a b']", "node server.js --name 'a b'"),
        ('command: [sh, -c]\nargs: ["sleep 1; exec ./x $(MODE)"]', "sleep 1; exec ./x ${MODE}"),
        ('command: [./x, "$(MODE)-it", "$(ELSE)", "$$(MODE)"]', "./x \"${MODE}\"-it '$(ELSE)' '$(MODE)'"),
        ("args: [--verbose]", ""),
    ],
)
def test_commands_run_in_a_shell_as_they_did_without(container: str, run: str, tmp_path: Path) -> None:
    """Words stay words, variables of Kubernetes become variables of the shell."""
    imported, _, project = accepted(tmp_path, pod(f"{container}\nenv: [{{name: MODE, value: fast}}]"))
    assert project.components["web"].runtime.run == run
    said = [one.message for one in imported.left]
    assert any("args (--verbose) cannot be given" in one for one in said) == (run == "")
    assert any("run by /bin/sh of the image" in one for one in said) == (run != "" and "sleep" not in run)


def test_scripts_and_values_of_several_lines_stay_as_they_are(tmp_path: Path) -> None:
    """A script can be read in the manifest."""
    script, value = "set -e\nexec ./x: '1' # \"no\"\n", "a: [b]\n\n  c\td\n"
    container = json.dumps({"command": ["sh", "-c", script], "env": [{"name": "CONF", "value": value}]})
    _, proposal, project = accepted(tmp_path, pod(container))
    web = project.components["web"]
    assert web.runtime.run == script.strip()
    assert dict(web.shape("dev").env) == {"CONF": value}
    assert "run: |-\n  set -e\n  exec ./x" in next(text for path, text, _ in proposal.files if path == web.manifest)


@pytest.mark.parametrize(
    ("container", "health"),
    [
        ("readinessProbe: {httpGet: {path: up, port: 8080}}", (HealthKind.HTTP, "/up", 1000, 2000, 3)),
        ("livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 7}", (HealthKind.TCP, "", 7000, 2000, 3)),
        (
            "readinessProbe: {exec: {command: [pg_isready, -U, me]}, timeoutSeconds: 5, failureThreshold: 9}",
            (HealthKind.COMMAND, "pg_isready -U me", 1000, 5000, 9),
        ),
    ],
)
def test_probes_become_health(container: str, health: tuple[object, ...], tmp_path: Path) -> None:
    """What is not written has the times of Tidegate, which asks sooner."""
    imported, _, project = accepted(tmp_path, pod(container))
    found = project.components["web"].runtime.health
    assert (found.kind, found.check, found.interval, found.timeout, found.failures) == health
    assert imported.left == ()


def test_a_long_start_is_waited_for(tmp_path: Path) -> None:
    """By the startup probe's own arithmetic."""
    asked = "httpGet: {path: /, port: 8080}"
    container = f"readinessProbe: {{{asked}}}\nstartupProbe: {{{asked}, periodSeconds: 10, failureThreshold: 30}}"
    _, _, project = accepted(tmp_path, pod(container))
    assert project.components["web"].runtime.health.start_timeout == 300_000


def test_kinds_of_workloads_become_kinds_of_components(tmp_path: Path) -> None:
    """A port makes a service; without one it is a worker; Jobs and CronJobs are tasks."""
    job = """\
        ---
        apiVersion: batch/v1
        kind: Job
        metadata: {name: migrate-job}
        spec:
          backoffLimit: 0
          activeDeadlineSeconds: 300
          template:
            spec:
              restartPolicy: Never
              containers: [{name: m, image: acme/m:1, command: [./migrate]}]
        ---
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: report}
        spec:
          schedule: "0 3 * * *"
          concurrencyPolicy: Forbid
          jobTemplate:
            spec:
              template:
                spec: {restartPolicy: OnFailure, containers: [{name: r, image: acme/r:1, command: [./report]}]}
    """
    worker = pod("ports: []\ncommand: [./work]", name="mails").partition("---")[0]
    imported, proposal, project = accepted(tmp_path, {"k8s/a.yaml": worker + dedent(job), "k8s/b.yaml": pod()})
    kinds = {name: one.kind for name, one in project.components.items()}
    assert kinds == {"mails": Kind.WORKER, "migrate": Kind.TASK, "report": Kind.TASK, "web": Kind.SERVICE}
    migrate, report = project.components["migrate"].runtime, project.components["report"].runtime
    assert (migrate.run, migrate.timeout, migrate.retry) == ("./migrate", 300_000, False)
    assert report.retry
    assert any("spec.schedule is not carried over" in one.message for one in imported.left)
    assert any("mails became a worker" in one for one in proposal.unknown)


def test_data_stay_with_one_writer(tmp_path: Path) -> None:
    """A claim becomes data of its size and class; where the program kept them, and that they are empty, is said."""
    text = """\
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: db}
        spec:
          serviceName: db
          replicas: 2
          selector: {matchLabels: {app: db}}
          template:
            metadata: {labels: {app: db}}
            spec:
              securityContext: {runAsUser: 999, fsGroup: 999}
              containers:
                - name: db
                  image: postgres:17
                  ports: [{containerPort: 5432}]
                  volumeMounts: [{name: data, mountPath: /var/lib/postgresql/data}]
          volumeClaimTemplates:
            - metadata: {name: data}
              spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 5Gi}}}
    """
    imported, _, project = accepted(tmp_path, text)
    db = project.components["db"]
    assert db.runtime.data
    assert db.shape("dev").replicas == 1
    cluster = db.shape("dev").cluster
    assert cluster is not None
    assert {patch.kind: json.loads(patch.patch)["spec"] for patch in cluster.patches} == {
        "Deployment": {"template": {"spec": {"securityContext": {"runAsUser": 999, "fsGroup": 999}}}},
        "PersistentVolumeClaim": {"resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "fast"},
    }
    said = "\n".join(str(one) for one in imported.left)
    assert "replicas is 2; it becomes 1" in said
    assert "no longer in /var/lib/postgresql/data" in said
    assert "what is in its volume now is not carried over" in said


CLUSTER = """\
    ---
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata: {name: web}
    spec:
      ingressClassName: nginx
      rules:
        - host: shop.acme.example
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
    ---
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: web}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
      minReplicas: 2
      maxReplicas: 10
      metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]
"""


def test_hosts_scaling_empty_folders_and_several_names_stay(tmp_path: Path) -> None:
    """What only a cluster has comes under kubernetes:, names of Services under aliases:."""
    container = "volumeMounts: [{name: cache, mountPath: /var/cache/nginx}, {name: tmp, mountPath: /tmp}]"
    more = "{volumes: [{name: cache, emptyDir: {}}, {name: tmp, emptyDir: {}}]}"
    second = """\
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web-8080}
        spec: {type: NodePort, selector: {app: web}, ports: [{port: 8080}]}
    """
    imported, _, project = accepted(
        tmp_path,
        {
            "k8s/a.yaml": pod(container, more, strategy={"type": "Recreate"}),
            "k8s/b.yaml": dedent(CLUSTER) + dedent(second),
        },
    )
    cluster = project.components["web"].shape("dev").cluster
    assert cluster is not None
    assert (cluster.expose, cluster.host, cluster.via) == (Exposure.INGRESS, "shop.acme.example", "nginx")
    assert cluster.autoscale == Autoscale(2, 10, 60)
    assert cluster.writable == ("/var/cache/nginx",)
    assert cluster.aliases == (Alias("web-8080", 8080),)
    assert project.components["web"].runtime.overlap is False
    assert [one.message for one in imported.left] == [
        "Ingress web: web is reached by one way, ingress, and no longer also by node-port"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "needs"),
    [
        ("ANY", "http://web/", True),
        ("ANY", "redis://user@web:80/0", True),
        ("ANY", "a:1,web:80", True),
        ("ANY", "web.default.svc.cluster.local", True),
        ("WEB_HOST", "web", True),
        ("MODE", "web", False),
        ("ANY", "http://web.acme.example", False),
        ("ANY", "http://my-web/", False),
        ("WEB_URL", "http://web", True),
    ],
)
def test_who_names_a_service_needs_it(variable: str, value: str, needs: bool, tmp_path: Path) -> None:
    """Where hosts stand; a word that is only the same is told. What Tidegate itself sets is left to it."""
    caller = pod(f"env: [{{name: {variable}, value: '{value}'}}]", name="caller")
    _, proposal, project = accepted(tmp_path, {"k8s/a.yaml": pod(), "k8s/b.yaml": caller})
    spec = project.components["caller"]
    assert spec.runtime.needs == (("web",) if needs else ())
    assert (variable in dict(spec.shape("dev").env)) == (variable != "WEB_URL")
    assert any("caller has the value web: add needs: [web]" in one for one in proposal.unknown) == (variable == "MODE")


def test_in_a_project_components_are_added_and_none_is_overwritten(tmp_path: Path) -> None:
    """tidegate.yaml stays as it is; a component that is described already is not proposed again."""
    (tmp_path / "tidegate.yaml").write_text("organization: acme\nenvironments: {dev: {target: kubernetes}}\n")
    (tmp_path / "api").mkdir()
    (tmp_path / "api/service.yaml").write_text(f"image: acme/mine@{DIGEST}\n")
    _, proposal, project = accepted(tmp_path, {"k8s/a.yaml": pod(), "k8s/b.yaml": pod(name="api")})
    assert [path for path, _, _ in proposal.files] == ["web/service.yaml"]
    assert project.components["api"].image.ready == f"acme/mine@{DIGEST}"
    assert any("api has a manifest already" in one for one in proposal.unknown)
    assert any("Give it an environment with target: {kind: kubernetes, context: kind-shop}" in one
               for one in proposal.unknown)  # fmt: skip


def test_what_cannot_be_written_leaves_no_folder_behind(tmp_path: Path) -> None:
    """All files or none, and no empty folders."""
    imported = read(tmp_path, {"k8s/a.yaml": pod(), "k8s/b.yaml": pod(name="api")})
    proposal = imported.proposal(Where("dev"), {})
    (tmp_path / "web").write_text("in the way")
    with pytest.raises(TidegateError, match="cannot write the manifests"):
        write(proposal, tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["k8s", "web"]


@pytest.mark.parametrize("current", ["kind-shop", ""])
def test_the_current_context_is_written_down(current: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that everybody who has the file means the same cluster. The first of several files that says one counts."""
    (tmp_path / "a").write_text("kind: Config\n")
    (tmp_path / "b").write_text(f"kind: Config\ncurrent-context: '{current}'\n")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b")
    assert current_context() == current


def test_what_stands_in_the_way_afterwards_is_said(tmp_path: Path) -> None:
    """Files that are called as manifests are, and names that hold only in another namespace."""
    caller = pod("env: [{name: A, value: http://web.shop.svc.cluster.local}]", name="caller")
    web = pod().replace("  name: web\nspec", "  name: web\n  namespace: shop\nspec")
    files = {
        "k8s/deployment.yaml": web,
        "k8s/task.yaml": caller.replace("  name: caller\nspec", "  name: caller\n  namespace: shop\nspec"),
    }
    proposal = read(tmp_path, files).proposal(Where("dev"), {})
    assert any("takes k8s/task.yaml for a manifest of its own" in one for one in proposal.unknown)
    assert any("caller calls web.shop, which names a namespace" in one for one in proposal.unknown)
    assert "needs: [web]" in next(text for path, text, _ in proposal.files if path == "caller/service.yaml")


def test_the_page_about_it_says_what_happens(tmp_path: Path) -> None:
    """docs/import.md: the files that it shows come out of the file that it shows, and so does the line that it says."""
    page = (Path(__file__).parents[2] / "docs/import.md").read_text()
    shown = dict(re.findall(r"```yaml (\S+)\n(.*?)```", page, re.DOTALL))
    imported, proposal, _ = accepted(tmp_path, {"k8s/shop.yaml": shown.pop("k8s/shop.yaml")})
    assert {path: text for path, text, _ in proposal.files if path != "tidegate.yaml"} == shown
    (left,) = imported.left
    assert f"```text\n{left.file}:{left.line}:{left.column}: {left.message}\n```" in page
