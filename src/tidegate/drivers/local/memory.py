"""How much memory this machine has left for more instances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def memory_free() -> int:
    """Bytes that are available here: on the machine, or within the limits of the control groups that we are in."""
    return max(0, min([int(psutil.virtual_memory().available), *rooms(CGROUPS, MEMBERSHIP)]))


def rooms(cgroups: Path, membership: Path) -> Iterator[int]:
    """What is left in each control group from ours up that has a limit; nothing where the system has none."""
    with suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _rooms(cgroups, path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _rooms(cgroups / "memory", path, *names)


def _rooms(root: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    own = PurePosixPath(path).relative_to("/")
    for part in (own, *own.parents):  # in a container the upper ones may be all that is to be seen
        folder = root / part
        with suppress(OSError, ValueError):  # "max": it has no limit
            most, used = (int((folder / name).read_text()) for name in (limit, usage))
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield most - used + int(counts.get(cache, 0))  # what is only cached makes room when it is needed
