"""Dockerfiles: the one that is made where a component has none, and what has to be known of those that people write."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from tidegate.builds.image_names import image_name, pinned_image
from tidegate.errors import ReleaseError

USER = "65532:65532"
APP = PurePosixPath("/app")  # where the sources lie; commands run in the component's folder below it
SECRETS = PurePosixPath("/run/secrets")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE | re.MULTILINE)


def made_dockerfile(*, base: str, tree: str, folder: str, command: str, secrets: Mapping[str, str]) -> str:
    """The files in the folder `tree` of the context, on a base pinned by digest; there the build command runs as it
    does on this machine: it ends at the first line that fails. Variables that it is to see come as secrets (id ->
    `env=…` or `type=file,src=…`, see `ImageOrder`), so that no value stays in the image. Raises `ReleaseError`."""
    name, digest = pinned_image(base)
    place = APP / folder
    lines = [
        f"FROM {name.at(digest)}",
        f"COPY --chown={USER} {tree}/ {APP}/",
        f"WORKDIR {place}",
        f"USER {USER}",
    ]
    if command:
        user = USER.partition(":")[0]
        mounts = "".join(f"--mount=type=secret,id={each},uid={user},mode=0400 " for each in secrets)
        lines.append(f"RUN {mounts}{json.dumps(['/bin/sh', '-c', _script(secrets), 'build', command])}")
    return "\n".join([*lines, "ENTRYPOINT []", ""])


def _script(secrets: Mapping[str, str]) -> str:
    """Sets the variables, runs the command, and leaves nothing in /tmp, which is its HOME: what is there is not seen
    when the image runs."""
    exported = []
    for name, place in secrets.items():
        at = SECRETS / name
        exported.append(f'export {name}="$(cat {at})"' if place.startswith("env=") else f"export {name}={at}")
    run = 'export HOME=/tmp LANG=C.UTF-8; /bin/sh -e -c "$1"; status=$?'
    return "; ".join([*exported, run, "rm -rf /tmp/* /tmp/.[!.]* 2>/dev/null", "exit $status"])


def secrets_of(passed: Mapping[str, str]) -> dict[str, str]:
    """How variables come into a build. What names a file of this machine (a certificate) brings the file; folders
    cannot be brought."""
    found = {}
    for name, value in sorted(passed.items()):
        path = Path(value)
        if path.is_absolute() and path.is_file():
            found[name] = f"type=file,src={value}"  # buildah takes a variable of the name before a file
        elif not (path.is_absolute() and path.is_dir()):
            found[name] = f"env={name}"
    return found


def hosts_of_bases(dockerfile: str) -> frozenset[str]:
    """The registries that its base images come from; a base that is made up of build arguments is none."""
    stages: set[str] = set()
    hosts: set[str] = set()
    for base, stage in _FROM.findall(dockerfile):
        if base != "scratch" and base.lower() not in stages and "$" not in base:
            hosts.update(_host(base))
        stages.add(stage.lower())
    return frozenset(hosts)


def _host(base: str) -> Collection[str]:
    try:
        return [image_name(base).host]
    except ReleaseError:  # whoever builds will say so
        return []
