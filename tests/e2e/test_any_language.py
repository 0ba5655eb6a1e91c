"""Any language: what is built and run is a command, and it gets from the caller's environment only what is listed."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.checkout import Checkout
from tests.gateway.worlds import report

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed here")

SERVER = """\
const http = require("node:http");
const built = require("./built.json");
http.createServer(async (request, response) => {
  if (request.url === "/healthz") return response.end("ok");
  if (request.url === "/env") return response.end(JSON.stringify(process.env));
  const answer = await fetch(process.env.BACKEND_URL + "/get");
  response.end(`${built.title} ${await answer.text()}`);
}).listen(process.env.PORT, "127.0.0.1");
"""

CANARY = "canary-5b1f"
TOKEN = "t0ken-77aa31"
PASSWORD = "passw0rd-9c04e2"

GIVEN = {"PATH", "HOME", "LANG"}
BY_SHELL = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}  # what /bin/sh and Python set for themselves


def node_shop(checkout: Checkout) -> None:
    """A frontend for Node with a build, and a backend in Python; secrets of both kinds."""
    checkout.environments(dev="observe: 0s, env: {GREETING: hello}")
    with (checkout.root / "tidegate.yaml").open("a") as file:
        file.write("builds: {pass: [LISTED]}\n")
    checkout.service("backend", 'env: {PASSWORD: {secret: "file:secrets/password"}}')
    (checkout.root / "secrets").mkdir()
    (checkout.root / "secrets" / "password").write_text(PASSWORD + "\n")
    folder = checkout.root / "frontend"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "frontend", "private": true, "scripts": {"build": "node build.js"}}')
    (folder / "build.js").write_text(
        'const fs = require("node:fs");\n'
        'fs.writeFileSync("built.json", JSON.stringify({ title: "shop", env: process.env }));\n'
    )
    (folder / "server.js").write_text(SERVER)
    (folder / "service.yaml").write_text(
        "build: node build.js\n"
        "run: node server.js\n"
        "health: {http: /healthz, interval: 100ms}\n"
        "needs: [backend]\n"
        'env: {TOKEN: {secret: "env:SHOP_TOKEN"}}\n'
    )


async def get(port: int, path: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}{path}")).raise_for_status().text


def built(checkout: Checkout) -> Any:
    """What the build wrote, where it will run."""
    (found,) = (checkout.root / ".tidegate" / "artifacts").rglob("built.json")
    return json.loads(found.read_text())


@needs_node
async def test_node_beside_python_gets_nothing_of_the_caller_but_what_is_listed(checkout: Checkout) -> None:
    """A Node service is built and run next to a Python one. Build and services have PATH, HOME, LANG, what the
    manifests list and what Tidegate gives; a variable of the caller reaches neither."""
    node_shop(checkout)
    await checkout.succeed("up", "dev", CANARY=CANARY, SHOP_TOKEN=TOKEN, LISTED="for builds")
    frontend, backend = checkout.port("frontend"), checkout.port("backend")
    assert await get(frontend, "/get") == "shop 1"
    env = json.loads(await get(frontend, "/env"))
    own = {"PORT", "BACKEND_URL", *(f"TIDEGATE_{name}" for name in ("ENVIRONMENT", "COMPONENT", "RELEASE", "INSTANCE"))}
    assert {"PATH", "GREETING", "TOKEN", *own} <= env.keys() <= {"GREETING", "TOKEN", *own, *GIVEN, *BY_SHELL}
    assert (env["TOKEN"], env["GREETING"]) == (TOKEN, "hello")
    assert json.loads(await get(backend, "/env"))["PASSWORD"] == PASSWORD
    in_build = built(checkout)["env"]
    assert in_build["LISTED"] == "for builds"
    assert in_build.keys() <= {*GIVEN, "LISTED", *BY_SHELL}
    for port in (frontend, backend):
        assert CANARY not in await get(port, "/env")


async def test_values_of_secrets_are_nowhere_on_disk_and_on_no_screen(checkout: Checkout) -> None:
    """They reach the service by `env:` and by `file:`; below `.tidegate` (store, logs, agent's state), in the folders
    outside, and in what `plan`, `up`, `status` and `history` print there is no trace of them. Not when a release
    fails, either."""
    checkout.environments(dev="observe: 0s")
    secrets = 'env: {TOKEN: {secret: "env:SHOP_TOKEN"}, PASSWORD: {secret: "file:secrets/password"}}'
    checkout.service("backend", secrets)
    (checkout.root / "secrets").mkdir()
    (checkout.root / "secrets" / "password").write_text(PASSWORD + "\n")
    shown = [await checkout.run(*words, SHOP_TOKEN=TOKEN) for words in (("plan", "dev", "--json"), ("up", "dev"))]
    env = json.loads(await get(checkout.port("backend"), "/env"))
    assert (env["TOKEN"], env["PASSWORD"]) == (TOKEN, PASSWORD)
    looks = (("plan", "dev", "--json"), ("status", "--json"), ("history", "dev", "--json"), ("up", "dev", "-v"))
    shown += await asyncio.gather(*(checkout.run(*words, SHOP_TOKEN=TOKEN) for words in looks))
    assert [ran.status for ran in shown] == [0] * 6, [str(ran) for ran in shown]
    checkout.service("backend", f"{secrets}\nverify: exit 1", label=2)
    shown.append(await checkout.run("up", "dev", SHOP_TOKEN=TOKEN))
    missing = await checkout.run("up", "dev")
    assert missing.status == 1
    assert "SHOP_TOKEN" in missing.err
    for ran in (*shown, missing):
        assert TOKEN not in str(ran)
        assert PASSWORD not in str(ran)
    searched = files_with(checkout, TOKEN, PASSWORD)
    report(f"{searched} files searched for two secrets")
    assert searched > 10


def files_with(checkout: Checkout, *values: str) -> int:
    """How many files were searched; fails when one of them holds a value."""
    searched = 0
    state, runtime = (Path(checkout.env[f"TIDEGATE_{name}_DIR"]) for name in ("STATE", "RUNTIME"))
    for folder in (checkout.root / ".tidegate", state, runtime):
        for file in folder.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert not any(value.encode() in content for value in values), file
                searched += 1
    return searched
