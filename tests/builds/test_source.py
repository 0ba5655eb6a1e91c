"""The same sources have the same name on any machine, and nothing else has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builds.checkouts import commit_all, git, write
from tidegate.builds import hashing
from tidegate.builds.hashing import Hasher
from tidegate.builds.source import CACHE, read_many, read_sources, would_count
from tidegate.errors import ReleaseError

FILES = {
    "app/main.py": "print('hello')\n",
    "app/run.sh": "#!/bin/sh\nexec python main.py\n",
    "app/data/ü b.txt": "ü\n",
    "app/service.yaml": "run: ./run.sh\n",
    "app/settings/dev.json": "{}\n",
    "lib/shared.py": "X = 1\n",
    "other/thing.py": "Y = 2\n",
}
PATHS = ("app", "lib/shared.py")
EXCLUDE = ("app/service.yaml", "app/settings")
TAKEN = ["app/data/ü b.txt", "app/main.py", "app/run.sh", "lib/shared.py"]


def names(root: Path, paths: tuple[str, ...] = ("app",)) -> list[str]:
    return [file.path for file in read_sources(root, paths).files]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = write(tmp_path / "repository", FILES)
    commit_all(root)
    return root


def test_a_component_is_its_paths_without_manifest_and_settings(repository: Path) -> None:
    """Sorted, relative to the root; a single file counts as a path too."""
    sources = read_sources(repository, PATHS, EXCLUDE)
    assert [file.path for file in sources.files] == TAKEN
    assert [file.path for file in sources.files if file.executable] == ["app/run.sh"]


def test_a_clone_elsewhere_has_the_same_name(repository: Path, tmp_path: Path) -> None:
    """Whatever its times, its umask, its place and its neighbours are; with git and without."""
    sources = read_sources(repository, PATHS, EXCLUDE)
    before = os.umask(0o077)
    try:
        git(tmp_path, "clone", "-q", str(repository), "deep/clone")
    finally:
        os.umask(before)
    clone = tmp_path / "deep" / "clone"
    write(clone, {"other/more.py": "not ours\n"})
    os.utime(clone / "app" / "main.py", (1, 1))
    bare = write(tmp_path / "unpacked", FILES)
    assert read_sources(clone, PATHS, EXCLUDE) == sources
    assert read_sources(bare, PATHS, EXCLUDE).digest == sources.digest
    assert read_sources(bare, PATHS, EXCLUDE).files == sources.files


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda app: (app / "main.py").write_text("print('hullo')\n"), id="content"),
        pytest.param(lambda app: (app / "main.py").chmod(0o755), id="executable"),
        pytest.param(lambda app: (app / "main.py").rename(app / "mein.py"), id="name"),
        pytest.param(lambda app: (app / "new.py").write_text(""), id="new file"),
        pytest.param(lambda app: (app / "main.py").unlink(), id="deleted file"),
        pytest.param(lambda app: (app / "link").symlink_to("main.py"), id="new link"),
    ],
)
def test_any_change_of_an_input_changes_the_name_and_is_dirty(
    repository: Path, change: Callable[[Path], object]
) -> None:
    """Until it is committed; then the name stays and is clean."""
    before = read_sources(repository, PATHS, EXCLUDE)
    assert not before.dirty
    change(repository / "app")
    changed = read_sources(repository, PATHS, EXCLUDE)
    assert changed.digest != before.digest
    assert changed.dirty
    head = commit_all(repository)
    clean = read_sources(repository, PATHS, EXCLUDE)
    assert (clean.digest, clean.dirty, clean.commit) == (changed.digest, False, head)


def test_what_belongs_to_others_makes_nothing_dirty(repository: Path) -> None:
    """Another component's files."""
    before = read_sources(repository, PATHS, EXCLUDE)
    write(repository, {"other/thing.py": "Y = 3\n", "lib/more.py": ""})
    assert read_sources(repository, PATHS, EXCLUDE) == before


def test_uncommitted_settings_and_manifests_are_dirty_and_keep_the_name(repository: Path) -> None:
    """They are no input of the build; still they must not leave the first environment before they are committed."""
    before = read_sources(repository, PATHS, EXCLUDE)
    write(repository, {"app/settings/prod.json": "{}"})
    assert read_sources(repository, PATHS, EXCLUDE) == replace(before, dirty=True)


def test_a_link_is_where_it_leads_to(tmp_path: Path) -> None:
    """Not what it finds there."""
    write(tmp_path, {"app/a": "1", "app/b": "1"})
    (tmp_path / "app" / "link").symlink_to("a")
    first = read_sources(tmp_path, ["app"])
    assert [file.link for file in first.files] == [None, None, "a"]
    (tmp_path / "app" / "link").unlink()
    (tmp_path / "app" / "link").symlink_to("b")
    assert read_sources(tmp_path, ["app"]).digest != first.digest


@pytest.mark.parametrize("target", ["/etc/hosts", "../../outside", "../x/../../y"])
def test_a_link_that_leads_out_of_the_project_is_refused(tmp_path: Path, target: str) -> None:
    """It would mean something else on another machine."""
    write(tmp_path, {"app/a": "1"})
    (tmp_path / "app" / "link").symlink_to(target)
    with pytest.raises(ReleaseError, match="app/link leads out"):
        read_sources(tmp_path, ["app"])


IGNORING = {
    ".gitignore": "*.log\n/app/out/\n",
    "app/.gitignore": "secret*\n!keep.log\n",
    "app/main.py": "",
    "app/debug.log": "",
    "app/keep.log": "",
    "app/secret.txt": "",
    "app/out/binary": "",
    "app/deep/.gitignore": "!secret.txt\n*.tmp\n",
    "app/deep/secret.txt": "",
    "app/deep/a.tmp": "",
    "app/deep/out/kept": "",
    "app/__pycache__/x.pyc": "",
    "app/node_modules/m/index.js": "",
    "app/.venv/bin/python": "",
    "app/.tidegate/store.db": "",
}
NOT_IGNORED = [
    "app/.gitignore",
    "app/deep/.gitignore",
    "app/deep/out/kept",
    "app/deep/secret.txt",
    "app/keep.log",
    "app/main.py",
]


def test_gitignore_means_the_same_with_git_and_without(tmp_path: Path) -> None:
    """Nested files, exceptions, folders; and what never is a source: caches, virtual environments, own state."""
    root = write(tmp_path / "bare", IGNORING)
    assert names(root) == NOT_IGNORED
    git(root, "init", "-q")
    assert names(root) == NOT_IGNORED
    commit_all(root)
    assert names(root) == NOT_IGNORED


def test_a_tracked_file_counts_though_it_is_ignored(tmp_path: Path) -> None:
    """It is in every clone."""
    root = write(tmp_path, IGNORING)
    git(root, "init", "-q")
    git(root, "add", "-f", "app/debug.log")
    assert "app/debug.log" in names(root)


def test_what_only_this_user_ignores_counts(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists outside of the project would give the same sources different names on different machines."""
    write(repository, {"app/notes.local": "mine\n", ".git/info/exclude": "*.local\n"})
    write(tmp_path, {"ignore": "*.local\n", "config": f"[core]\n\texcludesFile = {tmp_path}/ignore\n"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert git(repository, "status", "--porcelain") == ""
    sources = read_sources(repository, ["app"])
    assert "app/notes.local" in [file.path for file in sources.files]
    assert sources.dirty


def test_git_variables_of_the_caller_do_not_count(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release made from a hook of another repository is one of this project."""
    expected = read_sources(repository, PATHS)
    other = write(tmp_path / "other", {"x": ""})
    commit_all(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert read_sources(repository, PATHS) == expected


def test_without_git_or_commit_everything_is_dirty(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could check it out again."""
    bare = write(tmp_path / "bare", FILES)
    assert (read_sources(bare, PATHS).commit, read_sources(bare, PATHS).dirty) == ("", True)
    git(bare, "init", "-q")
    assert (read_sources(bare, PATHS).commit, read_sources(bare, PATHS).dirty) == ("", True)
    clean = read_sources(repository, PATHS)
    monkeypatch.setenv("PATH", str(tmp_path))
    without = read_sources(repository, PATHS)
    assert (without.commit, without.dirty, without.digest) == ("", True, clean.digest)


def test_a_project_in_a_folder_of_a_repository(tmp_path: Path) -> None:
    """Paths are relative to the project; changes elsewhere in the repository do not make it dirty."""
    project = write(tmp_path / "projects" / "shop", FILES)
    write(tmp_path, {"elsewhere/x": "1"})
    head = commit_all(tmp_path)
    write(tmp_path, {"elsewhere/x": "2"})
    sources = read_sources(project, PATHS, EXCLUDE)
    assert [file.path for file in sources.files] == TAKEN
    assert (sources.commit, sources.dirty) == (head, False)
    write(project, {"app/main.py": "changed"})
    assert read_sources(project, PATHS, EXCLUDE).dirty


def test_a_project_that_the_repository_around_it_ignores_stands_alone(tmp_path: Path) -> None:
    """A scratch folder has sources too."""
    write(tmp_path, {".gitignore": "scratch/\n"})
    commit_all(tmp_path)
    project = write(tmp_path / "scratch" / "shop", FILES)
    sources = read_sources(project, PATHS, EXCLUDE)
    assert [file.path for file in sources.files] == TAKEN
    assert (sources.commit, sources.dirty) == ("", True)


def test_a_repository_inside_counts_with_its_files(repository: Path) -> None:
    """Untracked, and tracked as a submodule is: what lies there is built, so it is named."""
    write(repository, {"app/vendor/lib.py": "1\n", "app/vendor/.gitignore": "*.o\n", "app/vendor/lib.o": ""})
    inner = repository / "app" / "vendor"
    commit_all(inner)
    assert "app/vendor/lib.py" in names(repository)
    assert "app/vendor/lib.o" not in names(repository)
    commit_all(repository)
    sources = read_sources(repository, ["app"])
    assert "app/vendor/lib.py" in [file.path for file in sources.files]
    assert not sources.dirty
    write(inner, {"lib.py": "2\n"})
    changed = read_sources(repository, ["app"])
    assert changed.dirty
    assert changed.digest != sources.digest


@pytest.mark.parametrize(("path", "said"), [("nowhere", "no nowhere"), ("../x", "out of"), ("/etc", "out of")])
def test_a_path_that_is_not_in_the_project_is_named(tmp_path: Path, path: str, said: str) -> None:
    """A typo in a manifest, most likely."""
    with pytest.raises(ReleaseError, match=said):
        read_sources(tmp_path, [path])


def test_a_repository_that_git_refuses_is_an_error(tmp_path: Path) -> None:
    """Reading it in another way would give its releases other names."""
    write(tmp_path, {"app/x": "", ".git/HEAD": "nonsense"})
    with pytest.raises(ReleaseError, match="git"):
        read_sources(tmp_path, ["app"])


def test_a_changed_file_is_hashed_again_though_it_looks_the_same(tmp_path: Path) -> None:
    """Same size, same time: a hash is only remembered once the file has been left alone for a while."""
    root = write(tmp_path, {"app/x": "1"})
    stamp = (root / "app" / "x").stat()
    first = read_sources(root, ["app"])
    write(root, {"app/x": "2"})
    os.utime(root / "app" / "x", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read_sources(root, ["app"]).digest != first.digest


def test_hashes_of_files_left_alone_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And used again as long as nothing about the file changed; a torn cache only costs time."""
    root = write(tmp_path, {"app/x": "1"})
    monkeypatch.setattr(hashing, "RACY", -(10**12))  # as if the file had been left alone for long
    first = read_sources(root, ["app"])
    cache = root / CACHE
    remembered = json.loads(cache.read_text())
    remembered["files"]["app/x"][-1] = "f" * 64
    cache.write_text(json.dumps(remembered))
    assert read_sources(root, ["app"]).files[0].sha256 == "f" * 64
    write(root, {"app/x": "2"})
    assert read_sources(root, ["app"]).files[0].sha256 not in ("f" * 64, first.files[0].sha256)
    cache.write_text("{torn")
    assert len(read_sources(root, ["app"]).files) == 1


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    """A read-only checkout can be named."""
    write(tmp_path, {"app/x": "1", "cache": "a file where the folder should be"})
    hasher = Hasher(tmp_path, tmp_path / "cache" / "sources.json")
    assert list(hasher.hash(["app/x", "app/gone"])) == ["app/x"]
    hasher.save()


def test_a_thousand_components_are_named_together(tmp_path: Path) -> None:
    """With a few calls of git, and each as it would be alone."""
    for place in range(1000):
        write(tmp_path, {f"services/c{place}/main.py": f"{place}\n", f"services/c{place}/service.yaml": ""})
    commit_all(tmp_path)
    parts = {f"c{n}": ((f"services/c{n}",), (f"services/c{n}/service.yaml",)) for n in range(1000)}
    found = read_many(tmp_path, parts)
    assert len({sources.digest for sources in found.values()}) == 1000
    assert found["c77"] == read_sources(tmp_path, *parts["c77"])


@pytest.mark.parametrize("with_git", [True, False])
def test_whether_a_new_file_would_count_is_known_before_it_is_written(tmp_path: Path, with_git: bool) -> None:
    """As it would be listed then: below the paths, not excluded, not ignored; also in a folder of a repository."""
    files = {".gitignore": "*.plan\n", "shop/app/main.py": "", "shop/app/.gitignore": "!keep.plan\nout/\n"}
    root = write(tmp_path, files) / "shop"
    if with_git:
        commit_all(tmp_path)
    asked = ("app/new", "app/deep/new", "other/new", "app/dev.plan", "app/keep.plan", "app/out/new", "app/.venv/new")
    said = {path: would_count(root, root / path, ("app",), ("app/deep",)) for path in asked}
    above = {"app/dev.plan": not with_git}  # without git, rules above the project do not count
    assert said == {path: above.get(path, path in {"app/new", "app/keep.plan"}) for path in asked}
    write(root, dict.fromkeys(asked, ""))
    listed = [file.path for file in read_sources(root, ("app",), ("app/deep",)).files]
    assert [path for path in sorted(asked) if said[path]] == [path for path in listed if path in asked]
    assert not would_count(root, tmp_path / "new", (".",), ())


def test_a_project_that_the_repository_ignores_counts_new_files(tmp_path: Path) -> None:
    """It stands alone, so the rules above it say nothing about it."""
    root = write(tmp_path, {".gitignore": "/shop/\n", "shop/main.py": ""}) / "shop"
    commit_all(tmp_path)
    assert would_count(root, root / "dev.plan", (".",), ())
