"""Several environments out of one checkout: the same releases, each with its own settings, shape and addresses."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import anyio
import httpx
import pytest

from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

NAMES = ("dev", "stage", "prod")


def three(checkout: Checkout) -> None:
    """dev, stage and prod with a settings file each, committed."""
    checkout.environments(dev="observe: 0s", stage="after: dev, observe: 0s", prod="after: stage, observe: 0s")
    checkout.service("backend", "settings: settings/\nreplicas: {default: 1, prod: 2}")
    folder = checkout.root / "backend" / "settings"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.json").write_text(json.dumps({"greeting": f"hello from {name}"}))
    commit(checkout)


def commit(checkout: Checkout) -> None:
    """Everything that lies in the checkout."""
    who = ("-c", "user.name=Ana", "-c", "user.email=ana@shop.example", "-c", "init.defaultBranch=main")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "as it is")):
        subprocess.run(["git", "-C", str(checkout.root), *who, *words], check=True, capture_output=True)


async def component(checkout: Checkout, environment: str = "dev", name: str = "backend") -> Any:
    """One component, as `status --json` shows it."""
    return next(each for each in (await checkout.status(environment))["components"] if each["component"] == name)


async def greeting(url: str) -> str:
    """What stands in the settings file that the service was given."""
    async with httpx.AsyncClient(trust_env=False) as client:
        env = (await client.get(f"{url}/env")).raise_for_status().json()
    return str(json.loads(await anyio.Path(env["TIDEGATE_SETTINGS"]).read_text())["greeting"])


def pids(found: Any) -> set[int]:
    return {each["pid"] for each in found["instances"]}


async def test_three_environments_run_the_same_release_with_their_own_settings(checkout: Checkout) -> None:
    """Built once; three environments pin the same digest; each has its own text, its own addresses and as many
    instances as the manifest says."""
    three(checkout)
    ran = await checkout.succeed("up", *NAMES)
    assert ran.err.count("building") == 1, ran.err
    found = {name: await component(checkout, name) for name in NAMES}
    assert len({each["release"] for each in found.values()}) == 1
    assert len({each["url"] for each in found.values()}) == 3
    assert {name: each["healthy"] for name, each in found.items()} == {"dev": 1, "stage": 1, "prod": 2}
    assert [await greeting(found[name]["url"]) for name in NAMES] == [f"hello from {name}" for name in NAMES]
    (release,) = (await checkout.succeed("releases", "--json")).json["releases"]
    assert sorted(release["pinned"]) == sorted(NAMES)
    assert release["dirty"] is False


async def test_what_is_not_committed_never_leaves_the_first_environment(checkout: Checkout) -> None:
    """dev takes it and says so; stage refuses it, says why and what to do, and stays as it was."""
    three(checkout)
    await checkout.succeed("up", "dev", "stage")
    before = await component(checkout, "stage")
    checkout.behave("backend", label=2)
    await checkout.succeed("up", "dev")
    assert (await component(checkout))["dirty"] is True
    refused = await checkout.run("up", "stage")
    assert refused.status == 64, str(refused)
    assert "cannot release backend into stage" in refused.err
    assert "Commit" in refused.err
    after = await component(checkout, "stage")
    assert (after["release"], pids(after)) == (before["release"], pids(before))
    commit(checkout)
    await checkout.succeed("up", "stage")
    assert (await component(checkout, "stage"))["release"] == (await component(checkout))["release"]


async def test_more_or_fewer_replicas_keep_the_instances_that_run(checkout: Checkout) -> None:
    """Only the number differs, so nothing is built, started anew or switched: instances are added and taken away."""
    checkout.environments(dev="observe: 0s")
    checkout.service("backend", "replicas: 2")
    await checkout.succeed("up", "dev")
    two = pids(await component(checkout))
    checkout.service("backend", "replicas: 4")
    ran = await checkout.succeed("up", "dev")
    assert "building" not in ran.err
    four = pids(await component(checkout))
    assert len(four) == 4
    assert two < four
    checkout.service("backend", "replicas: 1")
    await checkout.succeed("up", "dev")
    one = pids(await component(checkout))
    assert len(one) == 1
    assert one < two
    assert set(checkout.instances()) == one


async def test_new_settings_make_a_new_group_of_the_same_release(checkout: Checkout) -> None:
    """Nothing is built; the instances are new, the release is the same, and the text is the new one. The environment
    whose file did not change has nothing to do."""
    three(checkout)
    await checkout.succeed("up", "dev", "stage")
    before = await component(checkout)
    file = checkout.root / "backend" / "settings" / "dev.json"
    file.write_text(json.dumps({"greeting": "good evening"}))
    commit(checkout)
    ran = await checkout.succeed("up", "dev")
    assert "building" not in ran.err
    assert "settings change" in ran.err
    after = await component(checkout)
    assert after["release"] == before["release"]
    assert after["url"] == before["url"]
    assert after["group"] != before["group"]
    assert not pids(after) & pids(before)
    assert await greeting(after["url"]) == "good evening"
    assert (await checkout.succeed("up", "stage", "--json")).json["applied"] is False


async def test_a_component_goes_only_where_that_was_asked_for(checkout: Checkout) -> None:
    """`up` without it in the checkout leaves it alone; `--remove` needs a yes, is refused for what is still needed,
    and takes away exactly this component. Its address is kept for it: when it comes back, links to it work again."""
    checkout.pair()
    await checkout.succeed("up", "dev")
    port = checkout.port()
    assert (await checkout.run("up", "dev", "--remove", "frontend")).status == 64
    needed = await checkout.run("up", "dev", "--remove", "backend", "--yes")
    assert needed.status == 1, str(needed)
    assert "frontend" in needed.err
    assert len(checkout.instances()) == 2
    await checkout.succeed("up", "dev", "--remove", "frontend", "--yes")
    status = await checkout.status()
    assert [each["component"] for each in status["components"]] == ["backend"]
    assert [name.partition("-")[0] for name in checkout.instances().values()] == ["backend"]
    assert [name for name in checkout.ports() if "frontend" in name] == ["dev/entry/frontend"]
    await checkout.succeed("up", "dev")
    assert checkout.port() == port


async def test_one_component_comes_alone_only_with_what_it_needs(checkout: Checkout) -> None:
    """`--only frontend` in an empty environment is refused and names what is missing; with `--with-needs` both come."""
    checkout.pair()
    alone = await checkout.run("up", "dev", "--only", "frontend")
    assert alone.status == 1, str(alone)
    assert "backend" in alone.err
    assert "--with-needs" in alone.err
    assert checkout.instances() == {}
    await checkout.succeed("up", "dev", "--only", "frontend", "--with-needs")
    assert len(checkout.instances()) == 2


async def test_a_first_release_that_fails_leaves_nothing_running(checkout: Checkout) -> None:
    """There was nothing before, so nothing is left: no instance, and after `down` no agent, gateway or port."""
    checkout.pair()
    checkout.service("backend", "verify: exit 1")
    ran = await checkout.run("up", "dev")
    assert ran.status == 1, str(ran)
    assert checkout.instances() == {}
    await checkout.succeed("down", "--all", "--yes")
    assert checkout.others() == {}
    assert checkout.ports() == {}
