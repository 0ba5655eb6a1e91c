"""A Kubernetes cluster for tests.

    python -m scripts.cluster up [NAME]      get what is missing, and start it unless it runs
    python -m scripts.cluster stop [NAME]    end it, and remove what it wrote; what was built stays in the cache
    python -m scripts.cluster env [NAME]     lines for a shell: eval "$(python -m scripts.cluster env)"
    python -m scripts.cluster logs [NAME]    the last lines of each part

With TIDEGATE_TEST_CONTEXT set, `up` only checks that this context of your own kubeconfig answers.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.resources.core_v1 import Namespace
from scripts.cluster import binaries, bringup
from scripts.cluster.layout import DEFAULT_NAME, ClusterError, Layout, cache_folder, locked, running

LIVING_SECONDS = 60.0  # for one whose parts were just started again


def main() -> None:
    """One command."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("up", "stop", "env", "logs"))
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME)
    arguments = parser.parse_args()
    context = os.environ.get("TIDEGATE_TEST_CONTEXT")
    if context and arguments.command in {"up", "stop"}:
        if arguments.command == "up":
            _check(context)
        else:
            say(f"TIDEGATE_TEST_CONTEXT is set: {context} is yours, and stays as it is")
        return
    if arguments.command == "env":
        _environment(arguments.name)
        return
    if os.geteuid() != 0:
        raise ClusterError(
            "only root can start a cluster; or set TIDEGATE_TEST_CONTEXT to a context of your kubeconfig"
        )
    with locked(arguments.name) as layout:
        match arguments.command:
            case "up":
                _up(layout)
            case "stop":
                bringup.stop(layout)
                say(f"{layout.name} is gone")
            case _:
                say(bringup.last_lines(layout))


def say(line: str) -> None:
    """For who waits."""
    print(line, flush=True)


def _up(layout: Layout) -> None:
    if layout.description.exists() and bringup.alive(layout):
        try:
            bringup.wait_until_ready(layout, LIVING_SECONDS)
        except ClusterError as error:
            say(f"{layout.name} runs and does not work; starting anew\n{error}")
        else:
            say(f"{layout.name} runs already: KUBECONFIG={layout.kubeconfig}")
            return
    begun = time.monotonic()
    binaries.get(say)
    say(f"programs: {time.monotonic() - begun:.1f} s")
    bringup.start(layout, say)
    say(f"KUBECONFIG={layout.kubeconfig}, context {layout.name}, registry {layout.registry}")


def _check(context: str) -> None:
    try:
        config = KubeConfig.from_env().get(context_name=context)
        with Client(config=config, timeout=httpx2.Timeout(10)) as client:
            client.get(Namespace, "default")
    except (ApiError, ConfigError, httpx2.HTTPError) as error:
        raise ClusterError(f"TIDEGATE_TEST_CONTEXT={context} does not answer: {error}") from error
    say(f"{context} answers")


def _environment(name: str) -> None:
    found = running(name)
    if found is None:
        raise ClusterError(f"there is no running cluster {name}; start it: make cluster")
    for variable, value in (
        ("KUBECONFIG", found["kubeconfig"]),
        ("TIDEGATE_TEST_REGISTRY", found["registry"]),
        ("PATH", f"{cache_folder() / 'bin'}:{os.environ['PATH']}"),  # kubectl
    ):
        say(f"export {variable}={shlex.quote(value)}")


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        sys.exit(f"cluster: {error}")
