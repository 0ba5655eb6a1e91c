"""Every place where artifacts can be shared keeps the same promises, and says in plain words when it cannot."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.s3 import SECRET, S3Server, s3_server
from tidegate.builds.folder_storage import FolderStorage
from tidegate.builds.s3_storage import S3Storage
from tidegate.errors import ArtifactsUnreachable, ReleaseError
from tidegate.ports.artifacts import ArtifactStorage

pytestmark = pytest.mark.anyio
NAME = "app/0123456789abcdef/tree-linux.tar.gz"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine and its user have."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def credentials(server: S3Server, monkeypatch: pytest.MonkeyPatch, no_credentials: None) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStorage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "not" / "there" / "yet")
    request.getfixturevalue("credentials")
    server: S3Server = request.getfixturevalue("server")
    return S3Storage(f"s3://{server.bucket}/{tmp_path.name}?endpoint={server.endpoint}")


def written(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "file"
    file.write_bytes(content)
    return file


async def test_what_was_put_is_got_and_what_was_deleted_is_gone(storage: ArtifactStorage, tmp_path: Path) -> None:
    """Byte for byte, also when it is large; absence is an answer and no error."""
    back = tmp_path / "back"
    assert not await storage.exists(NAME)
    assert not await storage.get(NAME, back)
    await storage.delete(NAME)
    for content in (b"", b"hello", bytes(range(256)) * 40_000):  # the last is sent in parts
        await storage.put(NAME, written(tmp_path, content))
        assert await storage.exists(NAME)
        assert await storage.get(NAME, back)
        assert back.read_bytes() == content
    assert not await storage.exists(f"{NAME}.other")
    await storage.delete(NAME)
    assert not await storage.exists(NAME)


async def test_two_that_put_the_same_at_once_do_not_disturb_each_other(
    storage: ArtifactStorage, tmp_path: Path
) -> None:
    """Whoever reads meanwhile gets all of it or nothing."""
    content, seen = b"x" * 300_000, set()
    file = written(tmp_path, content)

    async def read(number: int) -> None:
        back = tmp_path / f"back{number}"
        if await storage.get(NAME, back):
            seen.add(back.read_bytes() == content)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(storage.put, NAME, file)
            group.start_soon(read, number)
    await read(3)
    assert seen == {True}


async def test_a_location_holds_no_secret(storage: ArtifactStorage) -> None:
    """And not by which address this machine reaches the server."""
    assert "?" not in storage.url
    assert not storage.url.endswith("/")


async def test_an_upload_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A folder: what was written beside is removed, and the name does not exist."""
    storage = FolderStorage(tmp_path / "shared")
    with pytest.raises(ArtifactsUnreachable, match="No such file"):
        await storage.put(NAME, tmp_path / "missing")
    assert [path for path in (tmp_path / "shared").rglob("*") if path.is_file()] == []


async def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    """With what to look at."""
    (tmp_path / "shared").write_text("a file where the folder should be")
    storage = FolderStorage(tmp_path / "shared")
    with pytest.raises(ArtifactsUnreachable, match="shared") as refused:
        await storage.put(NAME, written(tmp_path, b"x"))
    assert "Check that the folder" in refused.value.hint


async def check_all_say(storage: S3Storage, tmp_path: Path, *words: str) -> None:
    """Every way to use it does, and shows no secret."""
    file = written(tmp_path, b"x")
    for work in (
        lambda: storage.exists(NAME),
        lambda: storage.get(NAME, tmp_path / "back"),
        lambda: storage.put(NAME, file),
    ):
        with pytest.raises(ArtifactsUnreachable) as refused:
            await work()
        told = str(refused.value)
        assert [word for word in words if word not in told] == [], told
        assert SECRET not in told
        assert "hunter2" not in told


async def test_missing_credentials_are_called_so(server: S3Server, no_credentials: None, tmp_path: Path) -> None:
    """With the variables to set."""
    storage = S3Storage(f"s3://{server.bucket}?endpoint={server.endpoint}")
    await check_all_say(storage, tmp_path, "There are no credentials", "AWS_ACCESS_KEY_ID")


async def test_wrong_credentials_are_called_so(
    server: S3Server, credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of them is shown."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    storage = S3Storage(f"s3://{server.bucket}?endpoint={server.endpoint}")
    await check_all_say(storage, tmp_path, "refuses access")


async def test_a_missing_bucket_is_called_so(server: S3Server, credentials: None, tmp_path: Path) -> None:
    """Though S3 answers as if only the file were missing."""
    storage = S3Storage(f"s3://nobody-made-it?endpoint={server.endpoint}")
    await check_all_say(storage, tmp_path, "There is no bucket nobody-made-it")


async def test_a_server_that_is_not_there_is_called_so(credentials: None, tmp_path: Path) -> None:
    """By host and port; a password before the host is not shown."""
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        storage = S3Storage(f"s3://artifacts?endpoint=http://me:hunter2@127.0.0.1:{port}")
        await check_all_say(storage, tmp_path, f"127.0.0.1:{port} does not answer", "?endpoint=")


async def test_a_server_that_speaks_something_else_is_called_so(credentials: None, tmp_path: Path) -> None:
    """And is not taken for an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connection.recv(1000)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            storage = S3Storage(f"s3://artifacts?endpoint=http://127.0.0.1:{listening.getsockname()[1]}")
            await check_all_say(storage, tmp_path, "does not answer")
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("url", ["s3://KEY:hunter2@bucket/prefix", "s3:///prefix", "gs://bucket"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    """Credentials do not belong into it, and are not repeated."""
    with pytest.raises(ReleaseError, match="without credentials") as refused:
        S3Storage(url)
    assert "hunter2" not in str(refused.value)


def test_a_slip_in_the_endpoint_never_sends_artifacts_to_amazon() -> None:
    """The value may be a secret that is at the wrong place, and is not repeated."""
    with pytest.raises(ReleaseError, match="endpont") as refused:
        S3Storage("s3://bucket/prefix?endpont=hunter2")
    assert "hunter2" not in str(refused.value)
