"""Who we are to a registry: what `docker login` and `podman login` wrote down."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tidegate.builds.image_names import DOCKER_HUB, ImageName
from tidegate.errors import ArtifactsUnreachable

PATIENCE = 30  # seconds for a credential helper; some ask a cloud
HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
BY_TOKEN = "<token>"  # the user name that helpers give for an identity token  # noqa: S105


@dataclass(frozen=True, slots=True)
class Login:
    """Either user and password, or the token of an identity."""

    user: str
    password: str = field(repr=False)
    identity: str = field(default="", repr=False)


async def login_for(name: ImageName) -> Login | None:
    """The first that is found in `$REGISTRY_AUTH_FILE`, containers' `auth.json`, `$DOCKER_CONFIG/config.json` (else
    `~/.docker/config.json`), with their credential helpers. None: as a stranger.

    Raises `ArtifactsUnreachable` for a helper that is not there or does not answer.
    """
    for file in _files():
        config = _read(file)
        if found := _written(config, name):
            return found
        helper = _helper(config, name.host)
        if helper and (found := await _ask(helper, name.host, file)):
            return found
    return None


def _files() -> Iterator[Path]:
    home = Path.home()
    if given := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(given)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "containers", "auth.json")
    yield Path(os.environ.get("DOCKER_CONFIG") or home / ".docker", "config.json")


def _read(file: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):  # a file that cannot be read knows nobody, as for the tools that write it
        found = json.loads(file.read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _written(config: Mapping[str, Any], name: ImageName) -> Login | None:
    """The longest key that is the host, or the host and the beginning of the repository, holds."""
    known = config.get("auths")
    if not isinstance(known, dict):
        return None
    parts = str(name).split("/")
    keys = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    for key in [*keys, *_keys_of_host(name.host)]:
        entry = known.get(key)
        if isinstance(entry, dict) and (found := _decoded(entry)):
            return found
    return None


def _keys_of_host(host: str) -> list[str]:
    plain = [f"https://{host}", f"https://{host}/", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
    return [*plain, *(HUB_KEYS if host == DOCKER_HUB else ())]


def _decoded(entry: Mapping[str, Any]) -> Login | None:
    identity = str(entry.get("identitytoken") or "")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    with suppress(binascii.Error, UnicodeDecodeError, TypeError):
        if entry.get("auth"):
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return Login(user, password.strip("\0"), identity) if identity or user else None


def _helper(config: Mapping[str, Any], host: str) -> str:
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict) and isinstance(helpers.get(host), str):
        return str(helpers[host])
    return str(config.get("credsStore") or "")


async def _ask(helper: str, host: str, file: Path) -> Login | None:
    program = f"docker-credential-{helper}"
    server = HUB_KEYS[0] if host == DOCKER_HUB else host
    try:
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process([program, "get"], input=server.encode(), check=False)
    except (OSError, TimeoutError) as error:
        why = "does not answer" if isinstance(error, TimeoutError) else "cannot be started"
        raise ArtifactsUnreachable(
            f"cannot sign in to the registry {host}",
            f"{file} names the credential helper {program}, which {why}.",
            hint=f"Install it, or log in anew: docker login {host}",
        ) from error
    with suppress(ValueError):
        found = json.loads(done.stdout) if done.returncode == 0 else None  # it knows nobody for this host
        if isinstance(found, dict) and found.get("Secret"):
            user, secret = str(found.get("Username") or ""), str(found["Secret"])
            return Login("", "", secret) if user == BY_TOKEN else Login(user, secret)
    return None
