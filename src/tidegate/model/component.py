"""What a component is, apart from any environment: how it is built, run and checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tidegate.model.digest import digest

RUN_TIMEOUT = 600_000  # milliseconds that a command which runs to its end may take, unless it says otherwise


class Kind(StrEnum):
    """The kinds of components that can be released and pinned.

    A service has an address. A worker has none, and two at once would do harm: it is replaced, not switched. A task
    has no instances; it is run to its end when somebody asks for it.
    """

    SERVICE = "service"
    WORKER = "worker"
    TASK = "task"


class HealthKind(StrEnum):
    """How an instance is asked whether it is healthy. `ALIVE`: it still runs after `interval` (workers)."""

    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"
    ALIVE = "alive"


class RunKind(StrEnum):
    """Commands of a release that run to their end: a migration before or after, or a task itself."""

    BEFORE = "before"
    AFTER = "after"
    TASK = "task"


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
class Hook:
    """A command that runs to its end. `undo` takes back what it did; without it, that cannot be undone.

    `retry`: after it was ended in the middle it may simply be run again. `timeout` in milliseconds.
    """

    run: str
    undo: str | None = None
    retry: bool = False
    timeout: int = RUN_TIMEOUT


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a release runs; part of the release's name. Times in milliseconds.

    `needs` are names of components, sorted. `port` is set where the program can listen on one port only.
    `folder` is where commands run, relative to the root of the artifact, with forward slashes ("." for the root).
    After it lost its traffic an instance has `drain` for requests in flight, then SIGTERM, then `grace`, then SIGKILL.

    `before` runs once for the release in an environment, before its new instances start (an expanding migration),
    `after` once when the old ones are gone (a contracting one). `overlap` False: old and new may never run at once.
    `data`: it has a folder that belongs to the environment, and so is its only writer (never overlaps). `resources`
    are names of resources of the environment that it uses, sorted. `retry` and `timeout` are a task's, as in `Hook`.
    """

    run: str
    folder: str = "."
    health: Health = Health()
    verify: str | None = None
    needs: tuple[str, ...] = ()
    port: int | None = None
    drain: int = 10_000
    grace: int = 10_000
    before: Hook | None = None
    after: Hook | None = None
    overlap: bool = True
    data: bool = False
    resources: tuple[str, ...] = ()
    retry: bool = False
    timeout: int = RUN_TIMEOUT

    def hook(self, what: RunKind) -> Hook | None:
        """The command that runs to its end as `what`; None if there is none."""
        match what:
            case RunKind.BEFORE:
                return self.before
            case RunKind.AFTER:
                return self.after
            case RunKind.TASK:
                return Hook(self.run, retry=self.retry, timeout=self.timeout)


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

    def replaced(self, *, own_addresses: bool) -> bool:
        """Whether old instances have to stop before new ones start. One port only keeps two from running at once,
        unless instances have `own_addresses`."""
        runtime = self.runtime
        clash = runtime.port is not None and not own_addresses
        return self.kind is Kind.WORKER or runtime.data or clash or not runtime.overlap


@dataclass(frozen=True, slots=True)
class Artifact:
    """A release in one format for one platform, named by its content. `location` is where it will run.

    The format `tree` is a folder of files, on a platform such as `linux-x86_64`. The format `image` is a container
    image: `digest` is that of its manifest or index, `platform` such as `linux/amd64`, `location` is
    `REGISTRY/NAME@sha256:…` of the registry that it was pushed to first.
    """

    digest: str
    release: str
    format: str
    platform: str
    location: str


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """How a release becomes an image, where one is needed; part of the release's name where it says something.

    One of: `ready`, an image that somebody else made, pinned by digest; `dockerfile`, relative to the root of the
    project; `base`, pinned by digest, in which the build command runs. None of them: it cannot become an image.
    `tool` is the program that builds ("" for the first that is found); that makes no difference to the name.
    """

    ready: str = ""
    dockerfile: str = ""
    base: str = ""
    tool: str = ""


NO_IMAGE = ImageRecipe()


def release_digest(
    *,
    component: str,
    kind: Kind,
    build: str,
    runtime: Runtime,
    sources: str,
    image: ImageRecipe = NO_IMAGE,
) -> str:
    """The name of a release: `sources` is the digest of its files, `build` the build command ("" for none)."""
    named = runtime_to_json(runtime)
    named["health"] = list(named["health"].values())
    if image.ready or image.dockerfile or image.base:
        named["image"] = [image.ready, image.dockerfile, image.base]
    return digest("release", {"component": component, "kind": kind.value, "build": build, "sources": sources, **named})


def runtime_to_json(runtime: Runtime) -> dict[str, Any]:
    """Every field by its name; those that came after version 1 of the format only where they say something, so that
    what was named or written before keeps its name and its form."""
    found: dict[str, Any] = {
        "run": runtime.run,
        "folder": runtime.folder,
        "verify": runtime.verify,
        "needs": list(runtime.needs),
        "port": runtime.port,
        "drain": runtime.drain,
        "grace": runtime.grace,
        "health": health_to_json(runtime.health),
    }
    later = {
        "before": hook_to_json(runtime.before),
        "after": hook_to_json(runtime.after),
        "overlap": runtime.overlap,
        "data": runtime.data,
        "resources": list(runtime.resources),
        "retry": runtime.retry,
        "timeout": runtime.timeout,
    }
    plain = {"overlap": True, "data": False, "resources": [], "retry": False, "timeout": RUN_TIMEOUT}
    return found | {name: value for name, value in later.items() if value != plain.get(name)}


def hook_to_json(hook: Hook | None) -> dict[str, Any] | None:
    """`{"run", "undo", "retry", "timeout"}`."""
    if hook is None:
        return None
    return {"run": hook.run, "undo": hook.undo, "retry": hook.retry, "timeout": hook.timeout}


def health_to_json(health: Health) -> dict[str, Any]:
    """Every field by its name, in their order."""
    return {
        "kind": health.kind.value,
        "check": health.check,
        "interval": health.interval,
        "timeout": health.timeout,
        "start_timeout": health.start_timeout,
        "failures": health.failures,
    }
