"""The example as its people run it: `dev` on their machine, `stage` and `prod` in two namespaces of a cluster. What
they type, what they read, and what visitors of the page get. All tests here share them: each leaves them working."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.e2e.shop import Shop, until
from tests.kubernetes.e2e.visitors import visitors
from tests.kubernetes.least import CONTEXT, forget, least

pytestmark = pytest.mark.xdist_group("storefront")
BACKEND = "services/backend/backend"
FRONTEND = "services/frontend/frontend"


@pytest.fixture(scope="module")
def shop(storefront: Shop, cluster: Cluster) -> Iterator[Shop]:
    """`dev` and `stage` are up; `stage` was brought up by somebody who may do what `tidegate rbac` prints, and no more,
    in a namespace that an administrator made."""
    namespace = storefront.namespace("stage")
    storefront.edit("services/backend/service.yaml", "health: /healthz", "health: {http: /healthz, start_timeout: 8s}")
    storefront.commit()
    storefront.run("up", "dev")
    plan = storefront.run("plan", "stage")
    assert "Ran as processes only, not yet as an image: backend, frontend." in plan
    assert "To be built first: backend, frontend" in plan
    permissions = list(yaml.safe_load_all(storefront.out("rbac", "stage")))
    storefront.kubectl("create", "namespace", namespace)
    kubeconfig = least(cluster, namespace, storefront.folder, objects=permissions)
    storefront.env["KUBECONFIG"] = f"{kubeconfig}:{cluster.kubeconfig}"
    storefront.edit(
        "tidegate.yaml",
        f"stage: {{observe: 4s, target: {{kind: kubernetes, context: {cluster.context}",
        f"stage: {{observe: 4s, target: {{kind: kubernetes, context: {CONTEXT}",
    )
    storefront.commit()
    storefront.run("up", "stage")
    yield storefront
    forget(cluster, namespace)
    for environment in ("stage", "prod"):
        storefront.kubectl(
            "delete", "namespace", "--wait=false", "--ignore-not-found", storefront.namespace(environment)
        )
    storefront.run("down", "dev", "--yes")


def page(shop: Shop, environment: str = "stage", path: str = "/") -> httpx.Response:
    """What visitors get."""
    return httpx.get(f"{shop.url('frontend', environment)}{path}", trust_env=False, timeout=20)


def test_the_page_shows_real_products_in_the_words_of_its_environment(shop: Shop) -> None:
    """The catalogue comes through the edge, from an image that was built once."""
    found = page(shop)
    assert found.status_code == 200
    assert "Harbour compass" in found.text
    assert "Prices of the next season, not yet in force." in found.text
    assert "Mooring rope" in page(shop, path="/?q=hemp").text
    assert page(shop, path="/product/anchor").status_code == 404
    assert "Sample prices, for development only." in page(shop, "dev").text


def test_all_that_people_look_at_tells_what_is_there(shop: Shop) -> None:
    """`status`, `history`, `releases`, `logs -f` with real lines of all pods, and `exec` inside one of them."""
    environment = shop.environment("stage")
    assert {each["component"]: each["state"] for each in environment["components"]} == {
        "backend": "running",
        "frontend": "running",
    }
    assert re.search(r"backend +running .* 2/2 ", shop.run("status", "stage"))
    assert "frontend: (none) →" in shop.run("history", "stage")
    rows = {each["component"]: each for each in shop.json("releases")["releases"] if "stage" in each["pinned"]}
    assert {name: each["built"] for name, each in rows.items()} == {"backend": True, "frontend": True}

    pods = json.loads(shop.kubectl("-n", shop.namespace("stage"), "get", "pods", "-o", "json"))["items"]
    names = {each["metadata"]["name"] for each in pods}
    assert len(names) == 4
    following = shop.start("logs", "-f", "-e", "stage", "-n", "20")
    assert following.stdout is not None
    unheard = set(names)
    for line in following.stdout:  # of each pod its own lines, without an end
        unheard.discard(line.split()[0])
        if not unheard:
            break
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=20)

    told = shop.json("exec", "stage", "frontend", "--", "sh", "-c", "id -u; pwd; echo $BACKEND_URL; exit 3", status=3)
    assert told["status"] == 3
    assert told["stdout"].split() == ["65532", "/app/services/frontend", "http://frontend-r1--backend"]
    assert "Read-only file system" in shop.run("exec", "stage", "backend", "--", "touch", "x", status=1)


def test_what_is_rendered_is_taken_by_the_api_and_differs_in_nothing(shop: Shop, tmp_path: Path) -> None:
    """By `kubectl apply --server-side --dry-run=server`, in one stream and as a folder."""
    rendered = shop.out("render", "stage")
    kubectl = ("apply", "--server-side", "--dry-run=server", "--field-manager=tidegate", "-f")
    taken = shop.kubectl(*kubectl, "-", text=rendered)
    assert len(taken.splitlines()) == len(list(yaml.safe_load_all(rendered)))
    shop.run("render", "stage", "--out", str(tmp_path / "out"))
    assert shop.kubectl(*kubectl, str(tmp_path / "out")).splitlines() != []


def test_a_second_release_of_both_is_switched_under_traffic(shop: Shop) -> None:
    """Saved as a plan and applied: no request fails, none is answered by a mix, over kept and new connections."""
    shop.commit(
        ("services/backend/catalogue.json", "Harbour compass", "Harbour compass II"),
        (f"{FRONTEND}/style.css", ":root", "/* second */\n:root"),
    )
    url = shop.url("frontend", "stage")
    old = (shop.release("frontend", "stage"), shop.release("backend", "stage"))
    shop.run("plan", "stage", "--out", ".tidegate/stage.plan")
    with visitors(url) as crowd:
        crowd.come(20)
        shown = shop.run("apply", ".tidegate/stage.plan", "--why", "the second compass")
        crowd.come(20)
    assert crowd.failed == []
    pairs = list(dict.fromkeys(crowd.answers))
    assert len(pairs) == 2, pairs
    assert old[0] != shop.release("frontend", "stage")
    first, second = pairs
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert "stage@2" in shown
    assert "Harbour compass II" in page(shop).text
    assert "the second compass" in shop.run("history", "stage")


BROKEN: dict[str, tuple[tuple[str, str, str], tuple[str, ...]]] = {
    "crashes": (
        (f"{BACKEND}/settings.py", "import json\n", "import json\nimport nothing_of_that_name\n"),
        ("exited with 1", "No module named 'nothing_of_that_name'", "Users     were not affected"),
    ),
    "is never healthy": (
        (f"{BACKEND}/app.py", 'PlainTextResponse("ok\\n")', 'PlainTextResponse("no\\n", 500)'),
        ("it answers 500", "Users     were not affected"),
    ),
    "is refused by its own look at it": (
        ("services/backend/verify.py", 'KNOWN = "compass"', 'KNOWN = "anchor"'),
        ("the catalogue does not give its anchor", "Users     were not affected"),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_release_that_is_broken_is_put_back_before_anybody_sees_it(shop: Shop, what: str) -> None:
    """The screen says why, and what to type next works."""
    change, said = BROKEN[what]
    before = shop.environment("stage")
    with shop.tried(change):
        shown = shop.run("up", "stage", status=1)
    for text in said:
        assert text in shown
    assert "backend failed; it was put back" in shown
    after = shop.environment("stage")
    assert [each["release"] for each in after["components"]] == [each["release"] for each in before["components"]]
    for line in re.findall(r"tidegate (logs|plan) (.*)", shown):
        shop.run(line[0], *line[1].split())
    assert page(shop).status_code == 200


def test_a_release_that_answers_5xx_is_undone_as_a_whole(shop: Shop) -> None:
    """It was healthy and is seen only under traffic: both services go back in one switch."""
    words = '        words = request.query_params.get("q", "").strip()\n'
    changes = (
        (f"{BACKEND}/app.py", words, f'{words}        if not words:\n            raise RuntimeError("not again")\n'),
        (f"{FRONTEND}/style.css", "/* second */", "/* third */"),
    )
    with shop.tried(*changes), visitors(shop.url("frontend", "stage")) as crowd:
        crowd.come(20)
        shown = shop.run("up", "stage", status=1)
        crowd.come(20)
    assert "answers were errors (5xx); 1 % are allowed" in shown
    assert "backend failed; backend, frontend were put back together" in shown
    assert len(set(crowd.answers)) == 1, "whoever got an answer got it from the old"
    assert "Harbour compass II" in page(shop).text


def test_what_a_killed_command_left_is_put_in_order(shop: Shop) -> None:
    """SIGKILL just after the switch: `status` says what to do, `recover` goes back, `resume` goes on to the end."""
    shop.commit(("services/backend/catalogue.json", "Harbour compass II", "Harbour compass III"))
    with visitors(shop.url("frontend", "stage")) as crowd:
        killed_after_the_switch(shop)
        assert "tidegate recover stage" in shop.run("status", "stage")
        shop.run("recover", "stage")
        assert "Harbour compass III" not in page(shop).text
        assert shop.environment("stage")["revision"] == "stage@2"
        crowd.come(10)
        killed_after_the_switch(shop)
        shop.run("resume", "stage")
    assert crowd.failed == []
    newest = shop.json("history", "stage")["revisions"][0]  # numbers of changes that were put back are not used again
    assert (newest["parent"], shop.environment("stage")["revision"]) == ("stage@2", newest["revision"])
    assert "Harbour compass III" in page(shop).text
    assert "nothing" in shop.run("undo", "stage", status=64).lower()


def killed_after_the_switch(shop: Shop) -> None:
    """An `up` that ended in the middle of watching."""
    up = shop.start("up", "stage")
    assert up.stdout is not None
    said = []
    for line in up.stdout:
        said.append(line)
        if "observing" in line:
            break
    else:
        pytest.fail("".join(said))
    up.kill()
    up.communicate(timeout=20)


def test_images_of_releases_that_nothing_pins_are_removed(shop: Shop) -> None:
    """Those that were put back; what runs and what history pins stays in the registry."""
    kept = {each["release"] for each in shop.json("releases")["releases"] if each["pinned"]}
    looked = shop.json("prune", "--dry-run")["removed"]
    images = [each["location"] for each in looked if "@sha256:" in each["location"]]
    assert images
    assert not kept & {each["release"] for each in looked}
    assert all(manifest(image).status_code == 200 for image in images)
    shop.run("prune")
    assert {manifest(image).status_code for image in images} == {404}
    assert shop.json("prune")["removed"] == []
    assert "nothing" in shop.run("up", "stage", "--dry-run").lower()


def manifest(image: str) -> httpx.Response:
    """What the registry answers about an image by digest."""
    place, _, digest = image.partition("@")
    host, _, repository = place.partition("/")
    accepted = {
        "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    }
    return httpx.head(f"http://{host}/v2/{repository}/manifests/{digest}", headers=accepted, trust_env=False)


def test_production_has_a_namespace_of_its_own_until_it_goes_down(shop: Shop, cluster: Cluster) -> None:
    """Tidegate made it, so it removes it, unless something foreign lives there. One that was there before stays."""
    namespace = shop.namespace("prod")
    shop.run("up", "prod")
    assert "Prices include VAT; delivery is free." in page(shop, "prod").text
    shop.kubectl("-n", namespace, "create", "configmap", "somebody-elses", "--from-literal=a=b")
    shop.run("down", "prod", "--yes")
    assert "somebody-elses" in shop.kubectl("-n", namespace, "get", "configmaps", "-o", "name")
    assert shop.kubectl("-n", namespace, "get", "deployments,services,pods", "-o", "name").split() == []
    shop.kubectl("-n", namespace, "delete", "configmap", "somebody-elses")
    shop.run("up", "prod")
    shop.run("down", "prod", "--data", "--yes")
    until("the namespace is gone", gone(shop, namespace))
    assert page(shop).status_code == 200, "stage is another environment"

    shop.run("down", "stage", "--yes")
    assert f"namespace/{shop.namespace('stage')}" in shop.kubectl("get", "namespaces", "-o", "name").split()


def gone(shop: Shop, namespace: str) -> Callable[[], bool]:
    """Whether there is no such namespace."""
    return lambda: f"namespace/{namespace}" not in shop.kubectl("get", "namespaces", "-o", "name").split()
