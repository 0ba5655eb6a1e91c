"""A real PostgreSQL server for tests: the fixture `postgres`, one server for each process that runs tests.

Absent, its tests are skipped, with the reason; where CI is set they fail, so that nobody is told they passed.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

USER = "tidegate"
GUARDED = ("guarded", "b:d/p@ss%word")  # a user that has to give this password on 127.0.0.1
QUICK = {  # nothing has to outlive the machine; what was committed does outlive `stop`
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "log_min_messages": "fatal",
}


class Postgres:
    """A server in a folder of its own, reached by a socket there and by a port of 127.0.0.1."""

    def __init__(self, programs: Path, folder: Path, settings: Mapping[str, str] = QUICK) -> None:
        self.folder = folder
        self._settings = settings
        self.port = _free_port()
        self._programs = programs
        self._names = itertools.count(1)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            account = _plain_account()
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)
        options = ("--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "--auth=trust")
        self._run("initdb", "-D", str(self.data), "-U", USER, *options)
        access = self.data / "pg_hba.conf"
        access.write_text(f"host all {GUARDED[0]} 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        self.start()
        self.execute(f"CREATE ROLE {GUARDED[0]} LOGIN PASSWORD '{GUARDED[1]}'")

    @property
    def data(self) -> Path:
        """Where the server keeps everything."""
        return self.folder / "data"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"shop{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """A database by the port; people use that more than the socket."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """One statement, outside of any store; the rows it gives."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Until it accepts connections."""
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "start", "-w", "-s", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """At once, as if it had crashed."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", str(self.data))

    def kill(self) -> None:
        """End what `stop` did not."""
        state = self.data / "postmaster.pid"
        if state.exists():
            os.kill(int(state.read_text().split("\n", 1)[0]), signal.SIGKILL)

    def _run(self, program: str, *arguments: str) -> None:
        ran = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **self._as,
        )
        if ran.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program}: {ran.stderr}{log.read_text() if log.exists() else ''}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, for all tests of this process. Whoever stops it starts it again."""
    found = programs()
    if found is None:
        missing = "PostgreSQL is not installed: neither PATH nor /usr/lib/postgresql has initdb and pg_ctl"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="tg-pg-", dir="/tmp"))
    try:
        server = Postgres(found, folder)
        try:
            yield server
        finally:
            try:
                server.stop()
            except RuntimeError:
                server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs() -> Path | None:
    """The folder of `initdb`, `pg_ctl` and what they start; the newest version there is."""
    found = shutil.which("pg_ctl")
    versions = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    for folder in [*([Path(found).resolve().parent] if found else []), *versions]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


def _plain_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
