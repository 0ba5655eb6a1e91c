"""The ports of this user: one registry for all projects, so that two clones never collide."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate.errors import TargetError

FIRST = 21000
LAST = 29999
"""Below the range that kernels give to outgoing connections."""


class PortTaken(TargetError):
    """A fixed port belongs to somebody else."""


class PortRegistry:
    """Ports by name for one project. A name keeps its port until it is given back.

    The registry is one JSON file of the user, changed under a lock by every project's agent. Ports that were given
    back come last in turn, so that a client which still knows an old address does not meet a stranger at once.
    Entries of projects whose folder is gone are given back by whoever looks next.
    """

    def __init__(self, folder: Path, project: Path) -> None:
        self._file = folder / "ports.json"
        self._lock = folder / "ports.lock"
        self._project = str(project)

    def take(self, names: Iterable[str]) -> dict[str, int]:
        """A port on 127.0.0.1 for each name: the one it has, else one that is free and can be bound.

        Raises `TargetError` when all ports of the range are taken.
        """
        with self._locked() as registry:
            mine = registry["projects"].setdefault(self._project, {})
            taken = {port for ports in registry["projects"].values() for port in ports.values()}
            result = {}
            for name in names:
                if name not in mine:
                    mine[name] = self._free(registry, taken)
                    taken.add(mine[name])
                result[name] = mine[name]
            return result

    def take_fixed(self, name: str, port: int) -> None:
        """Reserve this very port for `name`. Raises `PortTaken` when another name has it or it cannot be bound."""
        with self._locked() as registry:
            mine = registry["projects"].setdefault(self._project, {})
            if mine.get(name) == port:
                return
            for project, ports in registry["projects"].items():
                for other, number in ports.items():
                    if number == port:
                        raise _taken(port, f"{other} of {project} has it")
            if not bindable(port):
                raise _taken(port, "a program outside of Tidegate listens on it")
            mine[name] = port

    def give_back(self, names: Iterable[str]) -> None:
        """Names that have no port are ignored."""
        with self._locked() as registry:
            mine = registry["projects"].get(self._project, {})
            for name in names:
                mine.pop(name, None)
            if not mine:
                registry["projects"].pop(self._project, None)

    def names(self) -> dict[str, int]:
        """All that this project has."""
        with self._locked() as registry:
            return dict(registry["projects"].get(self._project, {}))

    def _first(self) -> int:
        """Where a new registry begins: different for each user, whose programs may start at the same moment."""
        name = hashlib.sha256(os.fsencode(self._file)).digest()
        return FIRST + int.from_bytes(name[:4]) % (LAST - FIRST + 1)

    def _free(self, registry: dict[str, Any], taken: set[int]) -> int:
        for _ in range(LAST - FIRST + 1):
            port: int = registry["next"]
            registry["next"] = FIRST if port >= LAST else port + 1
            if port not in taken and bindable(port):
                return port
        raise TargetError(
            "cannot find a free port",
            f"All ports from {FIRST} to {LAST} are in use.",
            hint="End environments that nobody needs: tidegate down ENV.",
        )

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            registry = self._read()
            before = json.dumps(registry)
            for project in [name for name in registry["projects"] if not Path(name).is_dir()]:
                del registry["projects"][project]
            yield registry
            after = json.dumps(registry)
            if after != before:
                staged = self._file.with_suffix(".new")
                staged.write_text(after)
                staged.replace(self._file)

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._file.read_text())
            _check(content)
        except FileNotFoundError:
            return {"next": self._first(), "projects": {}}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TargetError(
                "cannot read the port registry",
                f"{self._file}: {error}",
                hint="Remove the file: which ports are in use is also found by trying them.",
            ) from error
        return content


def _check(content: dict[str, Any]) -> None:
    numbers = [content["next"]]
    for ports in content["projects"].values():
        numbers += ports.values()
    for number in numbers:
        if type(number) is not int or not 0 < number < 65536:
            raise ValueError(f"{number!r} is no port")


def bindable(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A former connection in TIME_WAIT is no hindrance for those who will listen, so it is none here.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def registry_folder() -> Path:
    """`$TIDEGATE_STATE_DIR`, else the user's state folder of this system."""
    given = os.environ.get("TIDEGATE_STATE_DIR")
    if given:
        return Path(given)
    import platformdirs  # noqa: PLC0415 - 20 ms that are only needed here

    return platformdirs.user_state_path("tidegate")


def _taken(port: int, why: str) -> PortTaken:
    return PortTaken(
        f"cannot use the fixed port {port}",
        f"{why}.",
        hint="Let the program read $PORT and remove `port:`, or end what uses the port.",
    )
