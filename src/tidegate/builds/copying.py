"""The clean copy that a build begins with: the files of the sources, and nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tidegate.builds.hashing import BLOCK
from tidegate.builds.source import SourceFile, Sources
from tidegate.errors import ReleaseError


def copy_sources(root: Path, sources: Sources, tree: Path) -> None:
    """Copy into a new folder. Modes are 0755 or 0644, whatever they and the umask were.

    Raises `ReleaseError` if a file is no longer what the digest of the sources says, `OSError`.
    """
    tree.mkdir(mode=0o755)
    tree.chmod(0o755)
    made = {tree}
    for file in sources.files:
        target = tree / file.path
        if target.parent not in made:
            for folder in reversed([target.parent, *target.parent.parents]):
                if folder.is_relative_to(tree) and folder not in made:
                    folder.mkdir()
                    folder.chmod(0o755)
                    made.add(folder)
        try:
            unchanged = _copy(root / file.path, file, target)
        except (FileNotFoundError, NotADirectoryError):
            unchanged = False
        if not unchanged:
            raise ReleaseError(
                "cannot build: sources changed while they were read",
                file.path,
                hint=f"Run the command again. If {file.path} is no source, but a log or what a command prints, name it "
                "in .gitignore.",
            )


def _copy(source: Path, file: SourceFile, target: Path) -> bool:
    if file.link is not None:
        if not source.is_symlink() or os.readlink(source) != file.link:  # noqa: PTH115 - a Path would tidy it up
            return False
        target.symlink_to(file.link)
        return True
    if source.is_symlink():
        return False
    content = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        executable = bool(os.fstat(reading.fileno()).st_mode & 0o100)
        while block := reading.read(BLOCK):
            content.update(block)
            writing.write(block)
        os.fchmod(writing.fileno(), 0o755 if executable else 0o644)
    return content.hexdigest() == file.sha256 and executable == file.executable
