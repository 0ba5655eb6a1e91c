"""Manifests of projects with environments on Kubernetes: read as written, told where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.manifest.projects import loaded, problems, write
from tidegate.manifest.models import TargetSpec
from tidegate.model.cluster import Alias, Autoscale, ClusterShape, Exposure
from tidegate.model.component import NO_IMAGE, ImageRecipe
from tidegate.model.pins import Resource, Secret

DIGEST = "sha256:" + "0123456789abcdef" * 4
ISSUE = """\
organization: acme
environments:
  dev:   {}
  stage: {after: dev,   target: {kind: kubernetes, context: kind-shop}}             # a namespace: isolation logical
  prod:  {after: stage, target: {kind: kubernetes, context: prod-eu, registry: registry.acme.example/shop}, \
isolation: server}
"""
TOP = f"""\
organization: acme
environments:
  dev: {{}}
  stage: {{target: kubernetes}}
  prod: {{target: {{kind: kubernetes, context: prod-eu, proxy: "envoyproxy/envoy:v1@{DIGEST}"}}}}
  prod-eu: {{like: prod, target: {{kind: kubernetes, context: prod-two, namespace: shop-eu}}}}
resources:
  db:
    dev: {{run: ./db $PORT, url: "db://$HOST:${{PORT}}/x"}}
    stage: {{run: ./db $PORT, url: "db://${{HOST}}:$PORT/x", image: "db@{DIGEST}"}}
    default: {{url: {{secret: "kubernetes:db-access/url"}}}}
images: {{base: "debian:12@{DIGEST}", tool: buildah}}
"""
BACKEND = """\
run: x
needs: [db]
expose: {stage: true}
aliases: [zoo, {name: sample-app-backend-service, port: 8080}]
env: {TOKEN: {default: {secret: "kubernetes:tokens/api.key"}, dev: none}}
kubernetes:
  default:
    resources: {requests: {cpu: 0.5, memory: 1Gi}}
    writable: [/var/cache/app, /srv/]
  prod:
    expose: {kind: ingress, host: shop.acme.example, via: public}
    autoscale: {min: 2, max: 10, cpu: 70%}
    patches: {Deployment: {spec: {template: {spec: {nodeSelector: {disk: ssd}, priority: ~}}}}}
  prod-eu:
    expose: load-balancer
    resources: {limits: {memory: 32Mi, acme.example/gpu: 1}}
"""


def backend(text: str = BACKEND) -> dict[str, str | bytes]:
    return {"tidegate.yaml": TOP, "backend/service.yaml": text}


def test_the_target_of_an_environment_is_a_word_or_a_table(tmp_path: Path) -> None:
    """The lines that the documentation shows load as they are; a Dockerfile is all that a component needs."""
    files = {"tidegate.yaml": ISSUE, "backend/service.yaml": "run: x\n", "backend/Dockerfile": "FROM scratch\n"}
    environments = loaded(tmp_path, files).environments
    assert environments["dev"].target == TargetSpec()
    assert environments["stage"].target == TargetSpec("kubernetes", context="kind-shop")
    registry = "registry.acme.example/shop"
    assert environments["prod"].target == TargetSpec("kubernetes", context="prod-eu", registry=registry)
    assert environments["prod"].isolation == "server"
    environments = loaded(tmp_path, {"tidegate.yaml": TOP}).environments
    assert environments["stage"].target == TargetSpec("kubernetes")
    assert environments["prod"].target.proxy == f"envoyproxy/envoy@{DIGEST}", "the tag decides nothing"
    assert environments["prod-eu"].target == TargetSpec("kubernetes", context="prod-two", namespace="shop-eu")


def test_what_an_environment_does_not_say_it_has_from_the_default_key_by_key(tmp_path: Path) -> None:
    """Not only from the default: also from those that it is like. Local environments have nothing of it."""
    component = loaded(tmp_path, backend()).components["backend"]
    assert component.shape("dev").cluster is None
    aliases = (Alias("sample-app-backend-service", 8080), Alias("zoo"))
    resources = {"requests": (("cpu", "0.5"), ("memory", "1Gi")), "limits": (("memory", "1Gi"),)}
    common = ClusterShape(**resources, writable=("/srv", "/var/cache/app"), aliases=aliases)  # type: ignore[arg-type]
    stage = component.shape("stage")
    assert stage.cluster is not None
    assert stage.exposed
    assert stage.cluster.expose is Exposure.NODE_PORT, "what expose: alone means in a cluster"
    assert (stage.cluster.requests, stage.cluster.limits) == (common.requests, common.limits), "limits give way"
    assert (stage.cluster.writable, stage.cluster.aliases) == (common.writable, aliases)
    prod = component.shape("prod")
    assert prod.cluster is not None
    assert prod.exposed
    assert (prod.cluster.expose, prod.cluster.host, prod.cluster.via) == (
        Exposure.INGRESS,
        "shop.acme.example",
        "public",
    )
    assert (prod.cluster.autoscale, prod.cluster.writable) == (Autoscale(2, 10, 70), common.writable)
    (patch,) = prod.cluster.patches
    assert patch.kind == "Deployment"
    inner = {"nodeSelector": {"disk": "ssd"}, "priority": None}
    assert json.loads(patch.patch) == {"spec": {"template": {"spec": inner}}}
    europe = component.shape("prod-eu").cluster
    assert europe is not None
    assert (europe.expose, europe.host, europe.autoscale) == (Exposure.LOAD_BALANCER, "", prod.cluster.autoscale)
    assert dict(europe.limits) == {"memory": "32Mi", "acme.example/gpu": "1"}
    assert dict(europe.requests) == {"cpu": "50m", "memory": "32Mi", "acme.example/gpu": "1"}, "requests give way"


def test_one_table_holds_for_all_environments(tmp_path: Path) -> None:
    """And a component that says nothing has the defaults."""
    one = loaded(tmp_path, backend("run: x\nkubernetes: {expose: load-balancer}\n")).components["backend"]
    for environment in ("stage", "prod"):
        assert one.shape(environment).cluster == ClusterShape(expose=Exposure.LOAD_BALANCER)
    assert not one.shape("dev").exposed
    plain = loaded(tmp_path, backend("run: x\n")).components["backend"]
    assert (plain.shape("stage").cluster, plain.shape("stage").exposed) == (ClusterShape(), False)


def test_secrets_and_resources_are_what_each_target_can_have(tmp_path: Path) -> None:
    """References to what the cluster keeps; resources that run in an image, at another address than 127.0.0.1."""
    component = loaded(tmp_path, backend()).components["backend"]
    assert dict(component.shape("prod").env) == {
        "TOKEN": Secret("kubernetes:tokens/api.key"),
        "DB_URL": Secret("kubernetes:db-access/url"),
    }
    (name, resource), *_ = component.shape("stage").resources
    assert (name, resource) == ("db", Resource("./db $PORT", "db://${HOST}:$PORT/x", image=f"db@{DIGEST}"))
    assert dict(component.shape("dev").env) == {"TOKEN": "none"}


def recipe(root: Path, top: str, files: Mapping[str, str | bytes]) -> ImageRecipe:
    return loaded(root, {"tidegate.yaml": top, **files}).components["a"].image


def test_a_release_becomes_an_image_as_its_checkout_says(tmp_path: Path) -> None:
    """What it says, else the Dockerfile beside it, else the base of all; the same in every environment."""
    run = {"a/service.yaml": "run: x\n"}
    base = ImageRecipe(base=f"debian@{DIGEST}", tool="buildah")
    assert recipe(tmp_path, TOP, run) == base
    assert recipe(tmp_path, TOP, {"a/service.yaml": "run: x\nimage: {tool: podman}\n"}) == ImageRecipe(
        base=base.base, tool="podman"
    )
    file = {"a/Dockerfile": "FROM scratch\n"}
    assert recipe(tmp_path, TOP, run | file) == ImageRecipe(dockerfile="a/Dockerfile", tool="buildah")
    assert recipe(tmp_path, ISSUE, {}) == ImageRecipe(dockerfile="a/Dockerfile")
    other = {"a/service.yaml": f'run: x\nimage: {{ready: "nginx:1@{DIGEST}"}}\n'}
    assert recipe(tmp_path, ISSUE, other) == ImageRecipe(ready=f"nginx@{DIGEST}")
    named = {"a/service.yaml": "run: x\nimage: {dockerfile: ../libs/Dockerfile}\nsources: [../libs]\n"}
    assert recipe(tmp_path, ISSUE, {**named, "libs/Dockerfile": ""}) == ImageRecipe(dockerfile="libs/Dockerfile")
    top = "organization: acme\nenvironments: {dev: {}}\n"
    assert recipe(tmp_path, top, run) == NO_IMAGE, "where nothing is on Kubernetes, a Dockerfile says nothing"
    (tmp_path / "a/Dockerfile").unlink()
    write(tmp_path, {"Dockerfile": "", "service.yaml": "name: top\nrun: x\n", "a/Dockerfile": ""})
    assert loaded(tmp_path, {"tidegate.yaml": ISSUE}).components["top"].image == ImageRecipe(dockerfile="Dockerfile")


def test_a_ready_image_needs_no_command_but_on_local(tmp_path: Path) -> None:
    """Where it would have to run as processes, that is told with both ways out."""
    top = TOP.replace("dev: {}", "dev: {components: [b]}", 1)
    files = {"tidegate.yaml": top, "a/service.yaml": f"image: nginx@{DIGEST}\nport: 80\n", "b/service.yaml": "run: x\n"}
    component = loaded(tmp_path, files).components["a"]
    assert (component.runtime.run, component.image.ready) == ("", f"nginx@{DIGEST}")
    (found,) = problems(tmp_path, files | {"tidegate.yaml": TOP})
    assert (found.file, found.line, found.column) == ("a/service.yaml", 1, 1)
    assert found.message == "a has no run:, so it cannot run in dev, which is on local"
    assert "run:" in found.hint
    assert "keep it out of dev" in found.hint


def test_a_port_of_its_own_is_for_each_instance_in_a_cluster(tmp_path: Path) -> None:
    """Replicas, and other components with the same port, are in nobody's way there."""
    top = TOP.replace("dev: {}", "dev: {components: [c]}", 1)
    text = "run: x\nport: 8080\nreplicas: 3\n"
    loaded(tmp_path, {"tidegate.yaml": top, "a/service.yaml": text, "b/service.yaml": text, "c/service.yaml": "run: x"})


def test_aliases_are_noted_where_nobody_can_use_them(tmp_path: Path) -> None:
    """No mistake: code that calls by these names works in the cluster only."""
    (note,) = loaded(tmp_path, backend()).notes
    assert (note.file, note.line, note.column) == ("backend/service.yaml", 4, 1)
    assert note.message.startswith("sample-app-backend-service, zoo: nobody can reach backend by this name in dev")
    assert "needs:" in note.hint
    without = TOP.replace("dev: {}", "dev: {components: [other]}")
    assert not loaded(tmp_path, {"tidegate.yaml": without, "other/service.yaml": "run: x\n"}).notes


def test_a_name_may_have_several_ports_also_that_of_the_component(tmp_path: Path) -> None:
    """What called one Service at two ports, or the service at another port than 80, goes on working."""
    text = "run: x\naliases: [{name: shop, port: 9090}, shop, {name: backend, port: 8080}]\n"
    shape = loaded(tmp_path, backend(text)).components["backend"].shape("prod").cluster
    assert shape is not None
    assert shape.aliases == (Alias("backend", 8080), Alias("shop"), Alias("shop", 9090))


def kubernetes(text: str) -> str:
    return f"run: x\nkubernetes: {{{text}}}\n"


SERVICE_MISTAKES: dict[str, tuple[str, int, int, str, str]] = {
    "key": (kubernetes("resorces: {}"), 2, 14, "unknown key 'resorces' in kubernetes", "Did you mean resources?"),
    "environment": (kubernetes("prd: {expose: node-port}"), 2, 14, "unknown environment 'prd'", "Did you mean prod?"),
    "list": ("run: x\nkubernetes: []\n", 2, 13, "must be a table of keys, not a list", "resources:"),
    "environment's value": (kubernetes("prod: x"), 2, 20, "'kubernetes.prod' must be a table", "expose"),
    "quantity": (kubernetes("resources: {requests: {cpu: lots}}"), 2, 42, "must be a quantity, not 'lots'", "250m"),
    "unit of cpu": (kubernetes("resources: {requests: {cpu: 1Gi}}"), 2, 42, "counted in processors", "250m"),
    "thousandths": (kubernetes("resources: {limits: {memory: 64m}}"), 2, 43, "at least 1Mi", "Did you mean 64Mi?"),
    "no unit": (kubernetes("resources: {limits: {memory: 512}}"), 2, 43, "at least 1Mi", "Did you mean 512Mi?"),
    "nothing": (kubernetes("resources: {limits: {cpu: 0}}"), 2, 40, "must be more than 0", "250m"),
    "resource": (kubernetes("resources: {limits: {memry: 1Gi}}"), 2, 35, "unknown resource 'memry'", "mean memory?"),
    "half a device": (kubernetes("resources: {limits: {a.b/gpu: 500m}}"), 2, 44, "counted in whole ones", "such as 1"),
    "limit": (
        kubernetes("resources: {requests: {memory: 1Gi}, limits: {memory: 1000M}}"), 2, 68, "limit of memory, 1000M",
        "Raise the limit",
    ),
    "devices": (
        kubernetes("resources: {requests: {a.b/gpu: 1}, limits: {a.b/gpu: 2}}"), 2, 68, "limit of a.b/gpu, 2",
        "the limit alone",
    ),
    "expose": (kubernetes("expose: loadbalancer"), 2, 22, "'expose' cannot be 'loadbalancer'", "mean load-balancer?"),
    "no host": (kubernetes("expose: ingress"), 2, 22, "needs the host that the ingress answers to", "kind: ingress"),
    "no host there": (kubernetes("expose: {kind: ingress}"), 2, 22, "'host' is missing", "shop.acme.example"),
    "no gateway": (kubernetes("expose: {kind: gateway, host: a.b}"), 2, 22, "'via' is missing", "NAMESPACE/NAME"),
    "gateway": (kubernetes("expose: {kind: gateway, host: a.b, via: x}"), 2, 54, "'via' cannot be 'x'", "NAMESPACE/"),
    "class": (kubernetes("expose: {kind: ingress, host: a.b, via: x/y}"), 2, 54, "'via' cannot be 'x/y'", "class"),
    "host": (kubernetes("expose: {kind: ingress, host: 'https://a.b'}"), 2, 44, "must be a name of DNS", "https://"),
    "host address": (kubernetes("expose: {kind: ingress, host: 10.0.0.1}"), 2, 44, "must be a name of DNS", ""),
    "needless host": (kubernetes("expose: {kind: node-port, host: a.b}"), 2, 40, "'host' is for an ingress", "Remove"),
    "relative": (kubernetes("writable: [cache]"), 2, 25, "must be absolute paths, not 'cache'", "/var/cache/app"),
    "root": (kubernetes("writable: [/]"), 2, 25, "'writable' cannot hold '/'", "name the folders"),
    "system": (kubernetes("writable: [/tmp/../proc/x]"), 2, 25, "cannot hold '/tmp/../proc/x'", "mounted"),
    "no max": (kubernetes("autoscale: {min: 2}"), 2, 25, "'max' is missing", "max: 10"),
    "min above max": (kubernetes("autoscale: {min: 9, max: 2}"), 2, 26, "'min' is 9, above 'max'", "Exchange"),
    "cpu": (kubernetes("autoscale: {min: 1, max: 2, cpu: 0%}"), 2, 47, "must be a percentage from 1%", "80%"),
    "autoscale data": (
        "run: x\ndata: true\nkubernetes: {autoscale: {min: 1, max: 2}}\n", 3, 14, "beside data:", "Remove it",
    ),
    "patched kind": (kubernetes("patches: {Deploymnt: {a: b}}"), 2, 24, "no object of kind 'Deploymnt'", "Deployment?"),
    "empty patch": (kubernetes("patches: {Service: {}}"), 2, 33, "must be a table of keys, not an empty one", "such"),
    "patched name": (kubernetes("patches: {Service: {metadata: {name: x}}}"), 2, 45, "change metadata.name", "names"),
    "patched selector": (kubernetes("patches: {Service: {spec: {selector: {}}}}"), 2, 41, "spec.selector", "traffic"),
    "patched replicas": (kubernetes("patches: {Deployment: {spec: {replicas: 2}}}"), 2, 44, "replicas", "autoscale:"),
    "patched label": (
        kubernetes("patches: {Deployment: {metadata: {labels: {tidegate.dev/component: x}}}}"), 2, 57,
        "metadata.labels.tidegate.dev/component", "knows its objects",
    ),
    "patched away": (kubernetes("patches: {Service: {metadata: ~}}"), 2, 44, "must be a table of keys", "added to"),
    "patch of a fraction": (kubernetes("patches: {Service: {spec: {x: 1.5}}}"), 2, 44, "cannot hold 1.5", "quotes"),
    "aliases": ("run: x\naliases: shop\n", 2, 10, "must be a list, not 'shop'", "[shop-backend]"),
    "alias": ("run: x\naliases: [Shop]\n", 2, 11, "'Shop' cannot be the name of a Service", "a-z"),
    "alias twice": ("run: x\naliases: [a, {name: a, port: 80}]\n", 2, 21, "'a' stands twice", "another port"),
    "alias port": ("run: x\naliases: [{name: a, port: 0}]\n", 2, 27, "from 1 to 65535", ""),
    "alias without name": ("run: x\naliases: [{port: 1}]\n", 2, 11, "'name' is missing", "shop-backend"),
    "alias of a component": ("run: x\naliases: [another]\n", 2, 11, "another itself is called so", "one component"),
    "alias of a resource": ("run: x\naliases: [db]\n", 2, 11, "the resource db is called so", "one component"),
    "alias of another": ("run: x\naliases: [taken]\n", 2, 11, "alias of another already", "one component"),
    "tag": ("run: x\nimage: nginx:1.27\n", 2, 8, "must be pinned by a digest", "nginx@sha256:"),
    "no image": ("run: x\nimage: 'https://nginx'\n", 2, 8, "no name of an image", "registry.acme.example"),
    "short digest": ("run: x\nimage: {base: 'debian@sha256:12'}\n", 2, 15, "no name of an image", "64 hexadecimal"),
    "image number": ("run: x\nimage: 5\n", 2, 8, "'image' must be a text, not 5", ""),
    "image list": ("run: x\nimage: [x]\n", 2, 8, "'image' cannot be a list", "dockerfile:"),
    "two ways": (
        f"run: x\nimage: {{dockerfile: Dockerfile, base: 'x@{DIGEST}'}}\n", 2, 33, "has both dockerfile and base",
        "Keep one",
    ),
    "tool": ("run: x\nimage: {tool: dockr}\n", 2, 15, "'tool' cannot be 'dockr'", "Did you mean docker?"),
    "no dockerfile": ("run: x\nimage: {dockerfile: Dockrfile}\n", 2, 21, "no file b/Dockrfile", "in the checkout"),
    "foreign dockerfile": ("run: x\nimage: {dockerfile: ../x}\n", 2, 21, "x is none of the sources of b", "sources:"),
    "secret of a cluster": (
        'run: x\nenv: {A: {secret: "kubernetes:a/b"}}\n', 2, 7, "'A' is kept by a cluster, and dev is on local", "env:",
    ),
    "secret here": (
        'run: x\nenv: {A: {prod: x, default: {secret: "kubernetes:a/b"}}}\n', 2, 20, "dev is on local", "env:NAME",
    ),
    "secret without key": (
        'run: x\nenv: {A: {secret: "kubernetes:a"}}\n', 2, 19, "no reference to a secret of the cluster", "NAME/KEY",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVICE_MISTAKES)
def test_a_mistake_is_one_problem_at_its_place_with_what_to_do(case: str, tmp_path: Path) -> None:
    """In a project that has a little of everything."""
    content, line, column, message, hint = SERVICE_MISTAKES[case]
    files = {
        "tidegate.yaml": TOP,
        "b/service.yaml": content,
        "b/Dockerfile": "",
        "x": "",
        "a-first/service.yaml": "name: another\nrun: x\naliases: [taken]\n",
    }
    found = problems(tmp_path, files)
    assert [(one.file, one.line, one.column) for one in found] == [("b/service.yaml", line, column)], found
    assert message in found[0].message
    assert hint in found[0].hint


@pytest.mark.parametrize(
    ("kind", "key", "why"),
    [
        ("worker", "expose: node-port", "a worker has no address"),
        ("worker", "autoscale: {min: 1, max: 2}", "two versions of a worker at once"),
        ("task", "autoscale: {min: 1, max: 2}", "a task runs once"),
        ("task", "patches: {Deployment: {a: b}}", "a task has no object of kind 'Deployment'"),
    ],
)
def test_what_a_kind_cannot_have_in_a_cluster_is_told_with_why(kind: str, key: str, why: str, tmp_path: Path) -> None:
    """One problem for each."""
    (found,) = problems(tmp_path, {"tidegate.yaml": TOP, f"b/{kind}.yaml": kubernetes(key)})
    assert (found.file, found.line) == (f"b/{kind}.yaml", 2)
    assert why in found.message


def target(text: str, *, name: str = "two", isolation: str = "") -> str:
    alone = f"isolation: {isolation}, " if isolation else ""
    return f"  {name}: {{{alone}target: {{kind: kubernetes, {text}}}}}\n"


ENVIRONMENT_MISTAKES: dict[str, tuple[str, int, int, str, str]] = {
    "word": ("  two: {target: kubernets}\n", 4, 17, "'target' cannot be 'kubernets'", "Did you mean kubernetes?"),
    "list": ("  two: {target: [kubernetes]}\n", 4, 17, "'target' cannot be a list", "{kind: kubernetes"),
    "no kind": ("  two: {target: {context: x}}\n", 4, 17, "'kind' is missing", "kind: kubernetes"),
    "key": (target("contxt: x"), 4, 36, "unknown key 'contxt' in target", "Did you mean context?"),
    "local context": ("  two: {target: {kind: local, context: x}}\n", 4, 31, "for a target of kind kubernetes", "Rem"),
    "proxy": (target("proxy: 'envoy:v1'"), 4, 43, "'proxy' must be pinned by a digest", "envoy@sha256:"),
    "registry": (target("registry: 'https://me:hunter2@r/x'"), 4, 46, "must be a host and a path", "no https://"),
    "namespace": (target("namespace: My_Shop"), 4, 47, "cannot be the name of a namespace", "63"),
    "system": (target("namespace: kube-system"), 4, 47, "belongs to Kubernetes itself", "another"),
    "isolation": (
        "  two: {isolation: network, target: kubernetes}\n", 4, 20, "the target kubernetes cannot enforce", "server",
    ),
    "inherited isolation": (
        target("context: a", isolation="server") + "  san: {like: two, target: local}\n",
        5, 20, "the target local cannot enforce", "logical",
    ),
    "shared cluster": (
        target("context: a", isolation="server") + target("context: a", name="san"),
        4, 28, "environment two asks for isolation 'server', but san is in the same cluster", "context a",
    ),
    "shared namespace": (
        target("context: a, namespace: n") + target("namespace: n, context: a", name="san"), 5, 9,
        "environments two and san would share the namespace n of context a", "namespace: …",
    ),
    "inherited namespace": (target("namespace: n") + "  san: {like: two}\n", 5, 3, "would share the namespace n", ""),
    "long": (f"  a{'b' * 39}: {{target: kubernetes}}\n", 4, 46, "cannot be the name of one", "at most 63"),
    "end": ("  two-: {target: kubernetes}\n", 4, 10, "cannot be on kubernetes under this name", "letter or digit"),
    "secret": (
        '  two: {env: {A: {secret: "kubernetes:a/b"}}}\n  san: {like: two}\n', 4, 15, "'A' is kept by a cluster",
        "env:",
    ),
    "store": ('  two: {store: {secret: "kubernetes:a/b"}}\n', 4, 25, "can be given to components only", "env:NAME"),
    "images": ("  two: {target: kubernetes}\nimages: {base: debian}\n", 5, 16, "must be pinned by a digest", "debian@"),
    "images list": ("  two: {target: kubernetes}\nimages: [x]\n", 5, 9, "'images' must be a table", "base:"),
    "images key": ("  two: {target: kubernetes}\nimages: {ready: x}\n", 5, 10, "unknown key 'ready'", "base, tool"),
    "resource": (
        "  two: {target: kubernetes}\nresources: {db: {dev: {url: x}, two: {run: y, url: '$HOST:$PORT'}}}\n", 5, 33,
        "resource db has no image to run in, as it must have in two", "Write image:",
    ),
    "resource host": (
        target("context: a")
        + f"resources: {{db: {{two: {{run: y, url: $PORT, image: 'x@{DIGEST}'}}, dev: {{url: x}}}}}}\n",
        5, 18, "resource db needs $HOST in its url in two", "127.0.0.1",
    ),
    "resource secret": (
        'resources: {db: {default: {url: {secret: "kubernetes:a/b"}}}}\n', 4, 18, "'db' is kept by a cluster", "env:",
    ),
    "resource elsewhere": (
        f"resources: {{db: {{default: {{url: x, image: 'x@{DIGEST}'}}}}}}\n", 4, 36, "resource that runs here", "run:",
    ),
    "resource nowhere": ("resources: {db: {default: {url: 'x://$HOST'}}}\n", 4, 33, "holds $HOST", "Add run:"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENVIRONMENT_MISTAKES)
def test_a_mistake_in_tidegate_yaml_is_one_problem_and_repeats_no_secret(case: str, tmp_path: Path) -> None:
    """Without noise from the components."""
    content, line, column, message, hint = ENVIRONMENT_MISTAKES[case]
    organization = "acme-shops-of-the-whole-wide-world" if case == "long" else "acme"
    need = "needs: [db]\n" if "resources:" in content else ""
    files = {
        "tidegate.yaml": f"organization: {organization}\nenvironments:\n  dev: {{}}\n{content}",
        "a/service.yaml": f"run: x\n{need}",
        "a/Dockerfile": "",
    }
    found = problems(tmp_path, files)
    assert [(one.file, one.line, one.column) for one in found] == [("tidegate.yaml", line, column)], found
    assert message in found[0].message
    assert hint in found[0].hint
    assert "hunter2" not in str(found[0])


def test_a_component_that_cannot_become_an_image_is_told_once_with_the_ways(tmp_path: Path) -> None:
    """At its manifest, however many environments there are on Kubernetes; none of it where there is none."""
    files: dict[str, str | bytes] = {"tidegate.yaml": ISSUE, "a/service.yaml": "team: acme\nrun: x\n"}
    (found,) = problems(tmp_path, files)
    assert (found.file, found.line, found.column) == ("a/service.yaml", 1, 1)
    assert found.message == "a cannot become an image, which stage needs: it is on kubernetes"
    assert all(way in found.hint for way in ("Dockerfile beside", "image: {base:", "images: {base:"))
    (found,) = problems(tmp_path, files | {"a/service.yaml": "run: x\nimage: {tool: docker}\n"})
    assert "cannot become an image" in found.message


def test_a_name_that_a_cluster_does_not_take_is_told(tmp_path: Path) -> None:
    """Of a component, and of a resource that is run there."""
    (found,) = problems(tmp_path, {"tidegate.yaml": TOP, "a/service.yaml": "run: x\nname: shop-\n"})
    assert (found.line, found.column) == (2, 1)
    assert "'shop-' cannot be the name of a component in stage" in found.message
    top = TOP.replace("  db:\n", "  db-:\n")
    (found,) = problems(tmp_path, {"tidegate.yaml": top, "a/service.yaml": "run: x\nneeds: [db-]\n"})
    assert (found.file, found.line) == ("tidegate.yaml", 10)
    assert "'db-' cannot be the name of a resource in stage" in found.message


def test_a_host_leads_to_one_component_of_one_environment_in_a_cluster(tmp_path: Path) -> None:
    """Told where it is written; what is in another cluster may have the same."""
    ingress = "run: x\nkubernetes: {expose: {kind: ingress, host: shop.acme.example}}\n"
    apart = {"tidegate.yaml": ISSUE, "a/service.yaml": ingress, "a/Dockerfile": ""}
    loaded(tmp_path, apart)
    together = ISSUE.replace("prod-eu", "kind-shop").replace("server", "logical")
    (found,) = problems(tmp_path, apart | {"tidegate.yaml": together})
    assert (found.file, found.line, found.column) == ("a/service.yaml", 2, 38)
    assert "shop.acme.example would lead to a in stage and to a in prod" in found.message
    in_prod = ingress.replace("{expose", "{prod: {expose").replace("}}", "}}}")
    (found,) = problems(tmp_path, apart | {"tidegate.yaml": ISSUE, "b/service.yaml": in_prod, "b/Dockerfile": ""})
    assert (found.file, found.line) == ("b/service.yaml", 2)
    assert "to a in prod and to b in prod" in found.message
