"""A server that speaks the API of S3, on loopback, over a temporary folder; `scripts/test-tools.sh` builds it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ACCESS, SECRET = "tests", "not-a-secret-of-anybody"
DEADLINE = 30.0  # seconds until it listens


@dataclass(frozen=True)
class S3Server:
    """`bucket` is there and empty; `env` is what a client needs to get in."""

    endpoint: str
    bucket: str = "artifacts"

    @property
    def env(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}


def program() -> Path:
    """Where the server lies. Skips the test if it is nowhere; fails in CI, where nothing may be skipped unseen."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "tidegate-tests" / "bin" / "versitygw"
    if not found.exists():
        why = "there is no S3 server to test with: run scripts/test-tools.sh"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Ended by its pid."""
    binary = program()
    with tempfile.TemporaryDirectory(prefix="tg-s3-") as folder:
        data, beside = Path(folder, "data"), Path(folder, "meta")
        (data / S3Server.bucket).mkdir(parents=True)
        beside.mkdir()
        port = _free_port()
        command = [str(binary), "--quiet", "--port", f"127.0.0.1:{port}", "--access", ACCESS, "--secret", SECRET]
        process = subprocess.Popen(
            [*command, "posix", "--sidecar", str(beside), str(data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_it_listens(process, port)
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
