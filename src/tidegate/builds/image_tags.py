"""What a tag means now: the only place where a registry is asked for one, so that a person can pin it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

import anyio

from tidegate.builds.image_names import image_name
from tidegate.builds.registry import ACCEPTED
from tidegate.builds.registry_connection import RegistryConnections
from tidegate.errors import TidegateError

PATIENCE = 20.0  # seconds for all images together: who is offline pins by hand
_TAG = re.compile(r":([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Lookup:
    """`digests`: image as it was written -> `sha256:…` of its manifest or index; `failures`: image -> why there is
    none, in plain words."""

    digests: dict[str, str]
    failures: dict[str, str]


async def look_up(images: Collection[str], *, pause: float = 0.2) -> Lookup:
    """Ask the registries which digests `[HOST/]NAME[:TAG]` have now, all at once. Raises nothing for those that cannot
    be told."""
    found = Lookup({}, {})
    connections = RegistryConnections(pause=pause)

    async def one(image: str) -> None:
        found.failures[image] = f"the registry did not answer within {PATIENCE:g} seconds"
        try:
            digest = await _digest(image, connections)
        except TidegateError as error:
            found.failures[image] = f"{error.summary}: {error.detail}"
        else:
            if digest:
                found.digests[image] = digest
                del found.failures[image]
            else:
                found.failures[image] = "its registry has no such image"

    try:
        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for image in images:
                    tasks.start_soon(one, image)
    finally:
        with anyio.CancelScope(shield=True):
            await connections.aclose()
    return found


async def _digest(image: str, connections: RegistryConnections) -> str:
    """The digest, empty if there is no such image. HEAD does not count as a download; not every registry tells then."""
    name = image_name(image)
    match = _TAG.search(image)
    path = f"/v2/{name.repository}/manifests/{match[1] if match else 'latest'}"
    connection = connections.to(name.host)
    for method in ("HEAD", "GET"):
        response = await connection.send(method, path, name, headers={"Accept": ACCEPTED})
        if response.status_code == 404:
            return ""
        if response.status_code != 200:
            break
        digest: str = response.headers.get("Docker-Content-Digest", "")
        if method == "GET":
            digest = "sha256:" + hashlib.sha256(response.content).hexdigest()
        if _DIGEST.fullmatch(digest):
            return digest
    raise connection.unexpected(response, name)
