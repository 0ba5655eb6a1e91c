"""What a component is, apart from any environment: how it is built, run and checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tidegate.model.digest import digest


class Kind(StrEnum):
    """The kinds of components that can be released and pinned."""

    SERVICE = "service"


class HealthKind(StrEnum):
    """How an instance is asked whether it is healthy."""

    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Health:
    """`check` is the path for HTTP, the command for COMMAND, empty for TCP. All times in milliseconds.

    An instance is healthy at its first success and has `start_timeout` to get there; later, `failures`
    attempts in a row that fail make it unhealthy.
    """

    kind: HealthKind = HealthKind.TCP
    check: str = ""
    interval: int = 1000
    timeout: int = 2000
    start_timeout: int = 60_000
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a release runs; part of the release's name. Times in milliseconds.

    `needs` are names of components, sorted. `port` is set where the program can listen on one port only.
    `folder` is where commands run, relative to the root of the artifact, with forward slashes ("." for the root).
    After it lost its traffic an instance has `drain` for requests in flight, then SIGTERM, then `grace`, then SIGKILL.
    """

    run: str
    folder: str = "."
    health: Health = Health()
    verify: str | None = None
    needs: tuple[str, ...] = ()
    port: int | None = None
    drain: int = 10_000
    grace: int = 10_000


@dataclass(frozen=True, slots=True)
class Release:
    """A set of inputs, named by their digest; made once, promoted, never made again.

    `commit` is the version-control commit it was made from, if any; `dirty` says that the inputs differ from it
    (or that there is none): such a release never leaves the first environment. Neither is part of the digest,
    nor are `by` and `at` (seconds since the epoch).
    """

    digest: str
    component: str
    kind: Kind
    team: str
    runtime: Runtime
    version: str = ""
    commit: str = ""
    dirty: bool = False
    by: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A release in one format for one platform, named by its content. `location` is where it will run."""

    digest: str
    release: str
    format: str
    platform: str
    location: str


def release_digest(*, component: str, kind: Kind, build: str, runtime: Runtime, sources: str) -> str:
    """The name of a release: `sources` is the digest of its files, `build` the build command ("" for none)."""
    health = runtime.health
    return digest(
        "release",
        {
            "component": component,
            "kind": kind.value,
            "build": build,
            "sources": sources,
            "run": runtime.run,
            "folder": runtime.folder,
            "verify": runtime.verify,
            "needs": list(runtime.needs),
            "port": runtime.port,
            "drain": runtime.drain,
            "grace": runtime.grace,
            "health": [
                health.kind.value,
                health.check,
                health.interval,
                health.timeout,
                health.start_timeout,
                health.failures,
            ],
        },
    )
