"""Several checkouts, one store: who releases and who applies need not be the same, and nobody is in anybody's way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import psutil
import pytest

from tests.e2e.projects import SERVICE, Shop, until
from tests.postgres import Postgres
from tests.s3 import s3_server
from tidegate.app.release import _build, _recipe, make_releases, name_releases
from tidegate.cli.main import run as call
from tidegate.composition import workspace_of
from tidegate.manifest import load
from tidegate.model.digest import short
from tidegate.ports.artifacts import Trees

HEALTH = "health: {http: /healthz, interval: 200ms, start_timeout: 15s}\ndrain: 100ms\ngrace: 2s\n"
BUILD = 'build: echo "$PWD" > built; date +%s%N >> built\n'


@dataclass(frozen=True)
class Company:
    """Checkouts below one folder that have a store and artifacts in common."""

    folder: Path
    store: str
    artifacts: str = "../artifacts"
    env: Mapping[str, str] = field(default_factory=dict)

    def checkout(self, name: str, *components: str, machine: str = "one", organization: str = "acme") -> Shop:
        """A checkout with these components; `machine` is whose state it sees, as if it were another computer's."""
        root = self.folder / name
        root.mkdir()
        keys = {"organization": organization, "environments": {"dev": {"observe": "0s"}, "try": {"observe": "0s"}}}
        places = {"store": self.store} | ({"artifacts": self.artifacts} if self.artifacts else {})
        (root / "tidegate.yaml").write_text(json.dumps(keys | places))
        for component in components:
            (root / component).mkdir()
            (root / component / "service.yaml").write_text(f"run: {sys.executable} -I main.py\n{BUILD}{HEALTH}")
            (root / component / "main.py").write_text(SERVICE.format(name=component, version="1"))
        return Shop(
            root,
            {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "LANG": "C.UTF-8",
                "COLUMNS": "100",
                "TIDEGATE_STATE_DIR": str(self.folder / f"state-{machine}"),
                "TIDEGATE_RUNTIME_DIR": str(self.folder / f"run-{machine}"),
                **self.env,
            },
        )

    def agents(self) -> list[psutil.Process]:
        """The agents that run for any of them."""
        return [each for each in _of(self.folder) if "tidegate.drivers.local.agent" in each.cmdline()]


def _of(folder: Path) -> list[psutil.Process]:
    return Shop(folder / "any", {}).processes()


@pytest.fixture
def company(short_tmp: Path) -> Iterator[Company]:
    """With SQLite at a place outside of all checkouts. Nothing of it runs afterwards."""
    yield Company(short_tmp, "../kept/store.db")
    for _ in range(2):  # an agent may start something while it is ended
        for process in _of(short_tmp):
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
    until("the end of all", lambda: not _of(short_tmp))


def run(shop: Shop, *arguments: str) -> Any:
    """What `tidegate ARGUMENTS --json` prints; called here, to spare a start of Python each."""
    printed = io.StringIO()
    with patch.dict(os.environ, shop.env), contextlib.redirect_stdout(printed):
        assert call(["-C", str(shop.root), *arguments, "--json"]) == 0
    return json.loads(printed.getvalue())


def component(shop: Shop, name: str, environment: str = "dev") -> Any:
    """What `status` says of it."""
    (found,) = run(shop, "status", environment)["environments"]
    return next(each for each in found["components"] if each["component"] == name)


def answer(shop: Shop, name: str, environment: str = "dev") -> str:
    """What users get, at the address that this checkout is told."""
    with urllib.request.urlopen(component(shop, name, environment)["url"], timeout=5) as said:
        return str(said.read().decode())


def pids(shop: Shop, name: str) -> list[int]:
    return [instance["pid"] for instance in component(shop, name)["instances"]]


def check_release_here_apply_there(company: Company) -> Shop:
    here = company.checkout("here", "backend")
    here.run("plan", "dev", "--out", "../plan.json")
    there = company.checkout("there", machine="two")
    there.run("apply", "../plan.json", "--yes")
    assert answer(there, "backend") == "backend 1"
    (built,) = (company.folder / "state-two").glob("stores/*/artifacts/backend/*/tree/backend/built")
    (first,) = (company.folder / "state-one").glob("stores/*/artifacts/backend/*/tree/backend/built")
    assert built.read_text().splitlines() == [str(built.parent), first.read_text().splitlines()[1]]
    assert not (there.root / ".tidegate" / "logs" / "builds").exists()
    assert not (there.root / ".tidegate" / "store.db").exists()
    assert run(there, "history", "dev") == run(here, "history", "dev")
    return here


def test_one_checkout_releases_and_an_empty_folder_applies(company: Company) -> None:
    """On a machine that has neither sources nor the bytes, the same artifact runs. Whoever
    tries to change the environment from another machine then is refused, and whoever applies its plan in a project that
    does not have it."""
    here = check_release_here_apply_there(company)
    here.version("backend", "2")
    refused = here.run("up", "dev", status=1)
    assert "dev" in refused.err
    assert "state-two" in refused.err
    strange = company.checkout("strange")
    (strange.root / "tidegate.yaml").write_text(
        json.dumps({"organization": "else", "environments": {"prod": {}}, "store": company.store})
    )
    assert "cannot find environment dev" in strange.run("apply", "../plan.json", "--yes", status=64).err
    seen = here.run("status", "dev", status=1).out
    assert "lives at" in seen
    assert "absent" not in seen


def test_the_same_with_postgresql_and_s3(company: Company, postgres: Postgres) -> None:
    """Nothing but the URLs differs."""
    with s3_server() as s3:
        artifacts = f"s3://{s3.bucket}/shop?endpoint={s3.endpoint}"
        check_release_here_apply_there(replace(company, store=postgres.database(), artifacts=artifacts, env=s3.env))


def test_an_environment_with_a_store_of_its_own_is_kept_there_alone(company: Company) -> None:
    """The others stay in the checkout, and go on when that store cannot be reached."""
    shop = company.checkout("shop", "backend")
    nobody = "postgresql://127.0.0.1:1/shop"
    places = {"dev": {"observe": "0s"}, "far": {"store": nobody}, "try": {"store": "../kept/try.db", "observe": "0s"}}
    (shop.root / "tidegate.yaml").write_text(json.dumps({"organization": "acme", "environments": places}))
    run(shop, "up", "dev")
    run(shop, "up", "try")
    assert answer(shop, "backend", "dev") == answer(shop, "backend", "try") == "backend 1"
    assert len(list((shop.root / ".tidegate" / "artifacts").glob("backend/*/tree"))) == 1
    assert len(list((company.folder / "state-one" / "stores").glob("*/artifacts/backend/*/tree"))) == 1
    assert len(company.agents()) == 2
    assert "127.0.0.1:1" in shop.run("up", "far", status=1).err
    shop.run("check")
    all_of_them = shop.run("status", status=1).out
    assert all_of_them.count("backend    running") == 2
    assert "never brought up" not in all_of_them
    assert "cannot be seen" in all_of_them
    run(shop, "down", "dev", "--yes")
    run(shop, "down", "try", "--yes")


def test_an_empty_secret_never_makes_the_project_the_place_of_artifacts(company: Company) -> None:
    """Archives between the sources would change what is released."""
    shop = company.checkout("shop", "backend")
    manifest = json.loads((shop.root / "tidegate.yaml").read_text())
    for key in ("store", "artifacts"):
        (shop.root / "tidegate.yaml").write_text(json.dumps(manifest | {key: {"secret": "env:PLACE"}}))
        assert "It is empty" in replace(shop, env={**shop.env, "PLACE": ""}).run("up", "dev", status=1).err
    assert sorted(each.name for each in shop.root.glob("backend/*")) == ["main.py", "service.yaml"]


def test_two_repositories_share_an_environment_and_leave_each_other_alone(company: Company) -> None:
    """One agent, one line of revisions; what one of them changes, brings up again or prunes is its own."""
    first = company.checkout("first", "backend")
    second = company.checkout("second", "catalog")
    run(first, "up", "dev")
    run(second, "up", "dev")
    before = {name: pids(first, name) for name in ("backend", "catalog")}
    first.version("backend", "2")
    run(first, "up", "dev")
    run(second, "prune")
    assert not run(second, "up", "dev")["applied"]
    for shop in (first, second):
        assert answer(shop, "backend") == "backend 2"
        assert answer(shop, "catalog") == "catalog 1"
    assert pids(second, "catalog") == before["catalog"]
    assert pids(second, "backend") != before["backend"]
    assert len(company.agents()) == 1
    line = run(second, "history", "dev")["revisions"]
    assert [each["revision"] for each in line] == ["dev@3", "dev@2", "dev@1"]
    assert [[changed["component"] for changed in each["differences"]] for each in line] == [
        ["backend"],
        ["catalog"],
        ["backend"],
    ]


def test_a_release_is_built_once_for_all_who_share_it(company: Company) -> None:
    """On another machine with the same sources nothing is built, though it never had the bytes; when the archive is
    lost it is made again."""
    first = company.checkout("first", "backend")
    run(first, "release")
    second = company.checkout("second", "backend", machine="two")
    (made,) = run(second, "release")["releases"]
    assert not made["built"]
    assert not (second.root / ".tidegate" / "logs" / "builds").exists()
    (archive,) = [path for path in (company.folder / "artifacts").rglob("*") if path.is_file()]
    archive.unlink()
    (made,) = run(second, "release")["releases"]
    assert made["built"]
    run(second, "up", "dev")
    assert answer(second, "backend") == "backend 1"


def test_an_artifact_that_nobody_shares_is_refused_on_other_machines_by_name(company: Company) -> None:
    """With who built it, where it lies, and the key to write; with it, everything works."""
    alone = replace(company, artifacts="")
    first = alone.checkout("first", "backend")
    run(first, "release")
    second = alone.checkout("second", "backend", machine="two")
    hidden = company.folder.joinpath("state-one").rename(company.folder / "unreachable")
    refused = second.run("up", "dev", status=1)
    hidden.rename(company.folder / "state-one")
    assert "cannot release backend" in refused.err
    assert "state-one" in refused.err
    assert "`artifacts:`" in refused.err
    for shop in (first, second):
        (shop.root / "tidegate.yaml").write_text(
            (shop.root / "tidegate.yaml").read_text().replace('"store"', '"artifacts": "../artifacts", "store"')
        )
    run(first, "release")
    run(second, "up", "dev")
    assert answer(second, "backend") == "backend 1"


def test_prune_spares_what_any_checkout_needs(company: Company) -> None:
    """Of what nobody needs the archive goes, and the copy of whoever prunes."""
    first = company.checkout("first", "backend")
    second = company.checkout("second", "catalog")
    run(first, "up", "dev")
    run(second, "up", "try")
    second.version("catalog", "2")
    run(second, "release")
    shared = company.folder / "artifacts"
    assert len(list(shared.glob("*/*/*.tar.gz"))) == 3
    removed = run(first, "prune")["removed"]
    assert {each["component"] for each in removed} == {"catalog"}
    assert len(removed) == 2
    assert len(list(shared.glob("catalog/*/*.tar.gz"))) == 1
    assert len(list(shared.glob("backend/*/*.tar.gz"))) == 1
    assert run(first, "prune")["removed"] == []
    assert answer(second, "catalog", "try") == "catalog 1"


@pytest.mark.anyio
async def test_prune_takes_nothing_that_a_living_command_is_about_to_start(company: Company) -> None:
    """Between its build and its claim nothing in the store says so. Once it is done, nobody needs it."""
    shop = company.checkout("shop", "backend")
    with patch.dict(os.environ, shop.env):
        async with workspace_of(load(shop.root)) as workspace:
            await make_releases(workspace, await name_releases(workspace), lambda _: None)
            assert json.loads(shop.run("prune", "--json").out)["removed"] == []
            assert len(list(company.folder.glob("state-one/stores/*/artifacts/uses/*"))) == 1
    assert len(json.loads(shop.run("prune", "--json").out)["removed"]) == 2
    assert list(company.folder.glob("state-one/stores/*/artifacts/uses/*")) == []


@pytest.mark.anyio
async def test_prune_takes_what_a_command_had_built_that_was_killed_then(company: Company) -> None:
    """The store never heard of it; only the disk is full of it."""
    shop = replace(company, artifacts="").checkout("shop", "backend")
    with patch.dict(os.environ, shop.env):
        async with workspace_of(load(shop.root)) as workspace:
            (release,) = (await name_releases(workspace)).values()
            recipe = _recipe(workspace.project.components["backend"])
            await workspace.builder.build(recipe, release.digest, lambda _: None)
    trees = company.folder.glob
    assert len(list(trees("state-one/stores/*/artifacts/backend/*/tree"))) == 1
    (removed,) = json.loads(shop.run("prune", "--json").out)["removed"]
    assert (removed["component"], removed["release"]) == ("backend", short(release.digest))
    assert list(trees("state-one/stores/*/artifacts/backend/*/tree")) == []


@pytest.mark.anyio
async def test_of_two_that_build_a_release_at_once_the_first_one_counts(company: Company) -> None:
    """What the other built is forgotten; both run the same bytes."""
    trees = []
    for machine in ("one", "two"):
        shop = company.checkout(machine, "backend", machine=machine)
        with patch.dict(os.environ, shop.env):
            async with workspace_of(load(shop.root)) as workspace:
                (release,) = (await name_releases(workspace)).values()
                await _build(workspace, release, lambda _: None)  # as if it had looked before the other was done
                (kept,) = await workspace.store.artifacts(release.digest)
                trees.append(await cast("Trees", workspace.artifacts).verify(kept))
    assert [str(path) for path in company.folder.joinpath("artifacts").glob("*/*/*")] == [kept.location]
    first, second = ((tree / "backend" / "built").read_text().splitlines() for tree in trees)
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_another_organization_does_not_take_over_environments_of_the_same_name(company: Company) -> None:
    """Two that share a store by mistake: the second is told whose it is, and changes nothing."""
    ours, theirs = company.checkout("ours", "backend"), company.checkout("theirs", "backend", organization="other")
    ours.run("up", "dev")
    (theirs.root / "backend" / "main.py").write_text("another program")
    refused = theirs.run("up", "dev", status=1).err
    assert "cannot change dev from here" in refused
    assert "/acme-" in refused
    assert answer(ours, "backend") == "backend 1"
    ours.run("down", "dev", "--yes")
