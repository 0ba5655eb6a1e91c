"""The programs that build images: docker (with buildx and a daemon that answers), podman, buildah."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from tidegate.errors import BuildFailed

TOOLS = ("docker", "podman", "buildah")  # the first that can be used is used
CHOICE = "TIDEGATE_IMAGE_TOOL"
BUILDAH_FLAGS = "TIDEGATE_BUILDAH_FLAGS"
PATIENCE = 30  # seconds for a program that is asked whether it works


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """What is built: `file` (a Dockerfile) with the folder `context`, and the folder `sources` as a context of that
    name, for `platform`. The local name is `tag`.

    `secrets` are seen by those steps that mount them, and not in the image: id -> `env=NAME` or `type=file,src=FILE`.
    `arguments` are build arguments that have their values from the environment. `plain`: base images come from
    registries without HTTPS. `fresh`: tags that it begins with are looked up anew.
    """

    file: Path
    context: Path
    sources: Path
    tag: str
    platform: str
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    plain: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ImageTool:
    """One of `TOOLS` that works here; `flags` stand before its commands. Commands are for `sh`."""

    name: str
    flags: tuple[str, ...] = ()

    def build(self, order: ImageOrder) -> str:
        """The command that builds. Nothing of an earlier build is used, as for all other releases; what a Dockerfile
        asks to be kept (`RUN --mount=type=cache`) is."""
        if self.name == "docker":
            own = ["buildx", "build", "--load", "--provenance=false", "--progress=plain"]
        else:
            plain = ["--tls-verify=false"] if order.plain else []
            build = "build" if self.name == "podman" else "bud"
            own = [build, "--http-proxy=false", "--force-rm", "--layers=false", *plain]
        labels = [part for name, value in order.labels.items() for part in ("--label", f"{name}={value}")]
        secrets = [part for name, place in order.secrets.items() for part in ("--secret", f"id={name},{place}")]
        arguments = [part for name in order.arguments for part in ("--build-arg", name)]
        fresh = ["--pull"] if order.fresh else []
        contexts = ["--build-context", f"sources={order.sources}"]
        where = ["--platform", order.platform, "--tag", order.tag, "--file", str(order.file), str(order.context)]
        return "exec " + self._command(*own, "--no-cache", *fresh, *labels, *secrets, *arguments, *contexts, *where)

    def push(self, tag: str, digest: Path, *, plain: bool) -> str:
        """The command that pushes and writes to `digest` what `digest_in` reads."""
        if self.name == "docker":
            asked = self._command("image", "inspect", "--format", "{{json .RepoDigests}}", tag)
            return f"{self._command('push', tag)}\n{asked} > {shlex.quote(str(digest))}"
        insecure = ["--tls-verify=false"] if plain else []
        return self._command("push", *insecure, "--digestfile", str(digest), tag, f"docker://{tag}")

    def forget(self, tag: str) -> str:
        """The command that removes the image from this machine."""
        return self._command(*(["rmi"] if self.name == "buildah" else ["image", "rm"]), tag)

    def environment(self, passed: Mapping[str, str]) -> dict[str, str]:
        """What its commands see: all that the caller does, and `passed`; builds see none of it by themselves.

        With buildah, builds are kept apart by `chroot` unless somebody says otherwise: containers and CI machines
        seldom allow more, and builds of trees have less."""
        return (
            {"BUILDAH_ISOLATION": "chroot", **os.environ, **passed} if self.name == "buildah" else os.environ | passed
        )

    def _command(self, *arguments: str) -> str:
        return shlex.join([self.name, *self.flags, *arguments])


def digest_in(text: str, repository: str) -> str:
    """The digest that was pushed to a repository, from what `ImageTool.push` wrote; "" if it is not there."""
    plain = re.fullmatch(r"\s*(sha256:[0-9a-f]{64})\s*", text)
    named = re.search(rf'[/"]{re.escape(repository)}@(sha256:[0-9a-f]{{64}})"', text)
    found = plain or named
    return found[1] if found else ""


async def find_tool(wanted: str = "") -> ImageTool:
    """`TIDEGATE_IMAGE_TOOL` of this machine, else the one that is `wanted`, else the first that works. Raises
    `BuildFailed`, which says for each what is wrong with it."""
    wanted = os.environ.get(CHOICE) or wanted
    if wanted and wanted not in TOOLS:
        raise BuildFailed(
            "cannot build images", f"There is no support for {wanted}.", hint=f"What there is: {', '.join(TOOLS)}."
        )
    wrong: list[str] = []
    for name in [wanted] if wanted else TOOLS:
        for flags in _candidates(name):
            said = await _wrong_with(name, flags)
            if not said:
                return ImageTool(name, flags)
        wrong.append(f"{name}: {said}")
    raise BuildFailed(
        "cannot build images",
        "\n".join(wrong),
        hint="Install one of them where releases are built (docker needs its daemon and the plug-in buildx, buildah no "
        "daemon), or name an image that is built elsewhere: `image: NAME@sha256:…`.",
    )


def _candidates(name: str) -> list[tuple[str, ...]]:
    """The flags to try. Where its kind of storage cannot be (containers in containers), buildah copies files."""
    if name != "buildah":
        return [()]
    given = tuple(shlex.split(os.environ.get(BUILDAH_FLAGS, "")))
    return [given] if given else [(), ("--storage-driver", "vfs")]


async def _wrong_with(name: str, flags: tuple[str, ...]) -> str:
    """Why it cannot be used; "" if it can."""
    if shutil.which(name) is None:
        return "not installed"
    if name != "docker":
        return await _failure([name, *flags, "info"])
    daemon = await _failure([name, "info", "--format", "{{.ServerVersion}}"])
    if daemon:
        return f"its daemon does not answer ({daemon})"
    return "its plug-in buildx is not installed" if await _failure([name, "buildx", "version"]) else ""


async def _failure(command: Sequence[str]) -> str:
    """The last line that a command complains with; "" if it does not fail."""
    try:
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, stdin=subprocess.DEVNULL, check=False)
    except TimeoutError:
        return f"no answer within {PATIENCE} s"
    except OSError as error:
        return str(error.strerror)
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit status {done.returncode}")
