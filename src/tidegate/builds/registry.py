"""What is asked of registries: manifests and blobs by their digests, copied and deleted (OCI distribution API)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio

from tidegate.builds.image_names import ImageName
from tidegate.builds.registry_connection import RegistryConnection, RegistryConnections
from tidegate.errors import ArtifactDamaged, ReleaseError

if TYPE_CHECKING:
    import httpx2

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = ", ".join([OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST])
AT_ONCE = 3  # blobs of one image
MOST = 8 << 20  # bytes of a manifest or a configuration; registries take 4 MiB

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index as it lies in a registry; `digest` is that of `content`."""

    digest: str
    media_type: str
    content: bytes

    @property
    def body(self) -> Json:
        """Parsed."""
        found: Json = json.loads(self.content)
        return found

    @property
    def children(self) -> list[Json]:
        """The descriptors of the manifests of an index; none of a manifest."""
        return list(self.body.get("manifests") or ())

    @property
    def blobs(self) -> list[Json]:
        """The descriptors of configuration and layers that lie in the registry, each once."""
        body = self.body
        found = [*([body["config"]] if "config" in body else []), *body.get("layers", ())]
        return list({each["digest"]: each for each in found if not each.get("urls")}.values())


class Registries:
    """A client of all registries. What is fetched is compared with its digest. Every method raises
    `ArtifactsUnreachable`, in plain words and without secrets."""

    def __init__(self, *, pause: float = 0.5) -> None:
        self._connections = RegistryConnections(pause=pause)

    async def plain(self, host: str) -> bool:
        """Whether plain HTTP is spoken with this host."""
        return await self._connections.to(host).plain()

    async def has(self, name: ImageName, digest: str) -> bool:
        """Whether there is a manifest of this digest."""
        return await self._there(name, f"manifests/{digest}")

    async def manifest(self, name: ImageName, digest: str) -> Manifest | None:
        """None if there is none. Raises `ArtifactDamaged` for other bytes than the digest says."""
        connection = self._connections.to(name.host)
        path = f"/v2/{name.repository}/manifests/{digest}"
        response = await connection.send("GET", path, name, headers={"Accept": ACCEPTED})
        if response.status_code == 404:
            return None
        self._expect(connection, response, name, 200)
        content = response.content
        if len(content) > MOST or _sha256(content) != digest:
            raise _damaged(name, digest)
        media_type = response.headers.get("Content-Type", OCI_MANIFEST).partition(";")[0].strip()
        return Manifest(digest, media_type, content)

    async def configurations(self, name: ImageName, digest: str) -> list[Json] | None:
        """The configuration (`os`, `architecture`, `config.Labels`, …) of the image, or of each image of the index;
        None if it is not there. Raises `ArtifactDamaged`."""
        top = await self.manifest(name, digest)
        if top is None:
            return None
        manifests = [top]
        if top.children:
            manifests = [await self._child(name, each) for each in top.children if _is_image(each)]
        return [await self._json_blob(name, each.body["config"]) for each in manifests]

    async def copy(self, source: ImageName, digest: str, target: ImageName) -> None:
        """Copy an image or an index with all of its images; what is there already is not sent again. Nothing is kept
        on this machine. Raises `ArtifactDamaged` if it is not at the source, or not whole there."""
        if not await self.has(target, digest):
            found = await self.manifest(source, digest)
            if found is None:
                raise ArtifactDamaged(
                    "cannot copy an image",
                    f"{source.at(digest)} is not there any more.",
                    hint="Release it again where it was built, or restore it in that registry.",
                )
            await self._copy(source, found, target)

    async def delete(self, name: ImageName, digest: str) -> None:
        """Harmless when it is gone. Raises `ReleaseError` where the registry deletes nothing."""
        connection = self._connections.to(name.host)
        path = f"/v2/{name.repository}/manifests/{digest}"
        response = await connection.send("DELETE", path, name, write=True)
        if response.status_code == 405 or (response.status_code == 400 and b"UNSUPPORTED" in response.content):
            raise ReleaseError(
                "cannot remove an image",
                f"The registry {name.host} does not allow that anything is deleted: {name.at(digest)}",
                hint="Let its own rules of retention remove it, or allow deletion there.",
            )
        self._expect(connection, response, name, 200, 202, 204, 404)

    async def aclose(self) -> None:
        """Close connections."""
        await self._connections.aclose()

    async def _copy(self, source: ImageName, manifest: Manifest, target: ImageName) -> None:
        for child in manifest.children:
            if not await self.has(target, child["digest"]):
                await self._copy(source, await self._child(source, child), target)
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def one(blob: Json) -> None:
            async with limit:
                await self._copy_blob(source, blob, target)

        try:
            async with anyio.create_task_group() as group:
                for blob in manifest.blobs:
                    group.start_soon(one, blob)
        except ExceptionGroup as failed:  # they fail alike; one is enough to say so
            raise failed.exceptions[0] from failed
        connection = self._connections.to(target.host)
        path = f"/v2/{target.repository}/manifests/{manifest.digest}"
        kind = {"Content-Type": manifest.media_type}
        response = await connection.send("PUT", path, target, write=True, headers=kind, content=manifest.content)
        self._expect(connection, response, target, 200, 201)

    async def _copy_blob(self, source: ImageName, blob: Json, target: ImageName) -> None:
        digest = str(blob["digest"])
        if await self._there(target, f"blobs/{digest}"):
            return
        connection = self._connections.to(target.host)
        mount = f"?mount={digest}&from={quote(source.repository, safe='')}" if source.host == target.host else ""
        path = f"/v2/{target.repository}/blobs/uploads/{mount}"
        begun = await connection.send("POST", path, target, write=True, content=b"")
        if begun.status_code == 201:  # mounted: the same registry holds it for another repository
            return
        self._expect(connection, begun, target, 202)
        place = str(begun.url.join(begun.headers["Location"]))
        place += f"{'&' if '?' in place else '?'}digest={quote(digest, safe='')}"
        size = int(blob["size"])
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        async with (
            self._blob(source, blob) as content,
            connection.streamed("PUT", place, target, write=True, headers=headers, content=content) as done,
        ):
            await done.aread()
            self._expect(connection, done, target, 201, 204)

    @asynccontextmanager
    async def _blob(self, name: ImageName, blob: Json) -> AsyncIterator[AsyncIterator[bytes]]:
        connection = self._connections.to(name.host)
        async with connection.streamed("GET", f"/v2/{name.repository}/blobs/{blob['digest']}", name) as response:
            if response.status_code == 404:
                raise _damaged(name, blob["digest"])
            self._expect(connection, response, name, 200)
            yield _checked(connection.blocks(response), name, blob)

    async def _json_blob(self, name: ImageName, blob: Json) -> Json:
        if int(blob["size"]) > MOST:
            raise _damaged(name, blob["digest"])
        async with self._blob(name, blob) as content:
            found = json.loads(b"".join([block async for block in content]))
        return dict(found)

    async def _child(self, name: ImageName, descriptor: Json) -> Manifest:
        found = await self.manifest(name, descriptor["digest"])
        if found is None:
            raise _damaged(name, descriptor["digest"])
        return found

    async def _there(self, name: ImageName, path: str) -> bool:
        connection = self._connections.to(name.host)
        response = await connection.send("HEAD", f"/v2/{name.repository}/{path}", name, headers={"Accept": ACCEPTED})
        if response.status_code == 404:
            return False
        self._expect(connection, response, name, 200)
        return True

    @staticmethod
    def _expect(connection: RegistryConnection, response: httpx2.Response, name: ImageName, *wanted: int) -> None:
        if response.status_code not in wanted:
            raise connection.unexpected(response, name)


async def _checked(blocks: AsyncIterator[bytes], name: ImageName, blob: Json) -> AsyncIterator[bytes]:
    """The same, but nobody gets all of a blob that is not what its descriptor says: the last block is held back."""
    seen, size = hashlib.sha256(), 0
    held = b""
    async for block in blocks:
        seen.update(block)
        size += len(block)
        if size > int(blob["size"]):
            break
        if held:
            yield held
        held = block
    if size != int(blob["size"]) or f"sha256:{seen.hexdigest()}" != blob["digest"]:
        raise _damaged(name, blob["digest"])
    yield held


def _is_image(descriptor: Mapping[str, Any]) -> bool:
    """Not what builders attach to images: where they come from and what is in them."""
    platform = descriptor.get("platform") or {}
    return platform.get("os", "unknown") != "unknown" or "platform" not in descriptor


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _damaged(name: ImageName, digest: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        "cannot use an image",
        f"{name.at(digest)} is damaged in its registry, or not whole there.",
        hint="Delete it there, then release it again where it was built.",
    )
