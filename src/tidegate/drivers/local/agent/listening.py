"""Who listens on a port of this machine: a check that gets an answer proves nothing until it is the instance's own.

Only Linux tells. What cannot be decided (another system, processes of another user or namespace) counts in favour of
the instance.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.drivers.local.agent.process import LINUX, members

LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")
WILDCARD = ("00000000", "0" * 32)
"""Addresses as the kernel prints them: who listens on one of these can be reached at 127.0.0.1."""
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class _Listener:
    port: int
    address: str
    inode: str


def stranger(port: int, leader: int) -> str:
    """Why an answer from this port is not the instance's, whose process group `leader` leads; "" when it is, or when
    that cannot be decided.

    The instance's are its process group, its session and everything that these started.
    """
    listeners = [one for one in _listeners() if one.port == port]
    exact = [one for one in listeners if one.address in LOOPBACK]
    inodes = {one.inode for one in exact or listeners if one.address in LOOPBACK + WILDCARD}
    if not inodes or inodes & _sockets(leader) or inodes & _sockets_of(members(leader)):
        return ""
    holder = next((pid for pid in _pids() if inodes & _sockets(pid)), 0)
    return f"port {port} is held by another program (pid {holder})" if holder else ""


def ports_of(leader: int) -> set[int]:
    """All ports that an instance listens on; empty where that cannot be told."""
    inodes = _sockets_of(members(leader))
    return {one.port for one in _listeners() if one.inode in inodes}


def _listeners() -> list[_Listener]:
    if not LINUX:
        return []
    found = []
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(file).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    address, _, port = fields[1].partition(":")
                    found.append(_Listener(int(port, 16), address, fields[9]))
    return found


def _sockets_of(pids: Iterable[int]) -> set[str]:
    return {inode for pid in pids for inode in _sockets(pid)}


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets; empty when it is gone or another user's."""
    found = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = str(Path(entry.path).readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
