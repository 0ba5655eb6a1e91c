"""One of several processes that build the same release: `builder.py ROOT COMMAND`; prints what it says and makes."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from tidegate.builds.source import read_sources
from tidegate.builds.tree import BuildRequest, TreeArtifacts


def say(text: str) -> None:
    """To the test that started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def build(root: Path, command: str) -> None:
    """Build it, or wait for who does."""
    state = root / ".tidegate"
    artifact = await TreeArtifacts(state / "artifacts").build(
        BuildRequest(
            component="app",
            release="sha256:" + "e" * 64,
            root=root,
            sources=read_sources(root, ["app"]),
            folder="app",
            command=command,
            env={},
            log=state / "app.log",
            on_line=say,
        )
    )
    say(artifact.digest)


if __name__ == "__main__":
    anyio.run(build, Path(sys.argv[1]), sys.argv[2])
