"""A release that was built on one machine runs on another, whole, or says by name why it cannot."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.builds.checkouts import write
from tidegate.builds.folder_storage import FolderStorage
from tidegate.builds.relocation import relocate
from tidegate.builds.shared import SharedTrees
from tidegate.builds.source import read_sources
from tidegate.builds.tree import BuildRequest, TreeArtifacts
from tidegate.errors import ArtifactDamaged, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import digest

pytestmark = pytest.mark.anyio
OUTSIDE = Path(tempfile.gettempdir(), "tidegate-written-outside")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Machine:
    """A checkout, and artifacts of its own that it shares in a folder."""

    def __init__(self, root: Path, shared: Path) -> None:
        self.root = root
        self.folder = root / "state" / "artifacts"
        self.artifacts = SharedTrees(TreeArtifacts(self.folder), FolderStorage(shared))
        self.lines: list[str] = []

    async def build(self, command: str, version: str = "1") -> Artifact:
        return await self.artifacts.build(
            BuildRequest(
                component="app",
                release=digest("release", version),
                root=self.root,
                sources=read_sources(self.root, ["app"]),
                folder="app",
                command=command,
                env={},
                log=self.root / "app.log",
                on_line=self.lines.append,
            )
        )

    def left(self) -> list[str]:
        """What lies among its artifacts, apart from locks."""
        return sorted(path.name for path in self.folder.glob("*/*") if path.suffix != ".lock")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def here(tmp_path: Path, shared: Path) -> Machine:
    """Where it is built."""
    root = write(tmp_path / "here", {"app/main.py": "print('hello')\n", "app/run.sh": "#!/bin/sh\necho hello\n"})
    (root / "app" / "link").symlink_to("main.py")
    return Machine(root, shared)


@pytest.fixture
def there(tmp_path: Path, shared: Path) -> Machine:
    """A machine without sources, whose place has a longer name with a space in it."""
    (tmp_path / "another place, far away").mkdir()
    return Machine(tmp_path / "another place, far away", shared)


def archive(shared: Path) -> Path:
    """The one that was shared."""
    (found,) = [path for path in shared.rglob("*") if path.is_file()]
    return found


async def output(*command: str | Path, folder: Path | None = None) -> str:
    done = await anyio.run_process([*command], cwd=folder, env={"PATH": os.environ["PATH"]})
    return done.stdout.decode().strip()


# One machine builds, another runs


def wheel(folder: Path) -> None:
    """A package with a console script, as any build tool would make it."""
    about = "greet-1.dist-info"
    files = {
        "greet.py": "import sys\n\n\ndef main():\n    print('greetings from', sys.prefix)\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: greet\nVersion: 1\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\ngreet = greet:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / "greet-1-py3-none-any.whl", "w") as made:
        for name, text in {**files, f"{about}/RECORD": record}.items():
            made.writestr(name, text)


VENV = f"""\
uv venv --quiet --offline --python {sys.executable} .venv
uv pip install --quiet --offline --no-index --python .venv/bin/python greet-1-py3-none-any.whl
echo "$PWD/lib" > "$(echo .venv/lib/python*/site-packages)/own.pth"
.venv/bin/python -m compileall -q main.py .venv
ln -s "$PWD/main.py" absolute
"""


async def test_a_virtual_environment_runs_at_another_place(here: Machine, there: Machine, shared: Path) -> None:
    """Its interpreter, its console scripts, its activation, its paths; nothing of the first place is left in it."""
    write(here.root, {"app/lib/own.py": "TEXT = 'a module by .pth'\n", "app/main.py": "import own; print(own.TEXT)\n"})
    wheel(here.root / "app")
    artifact = await here.build(VENV)
    assert artifact.location == str(archive(shared))

    tree = await there.artifacts.verify(artifact)
    here.root.rename(here.root.with_name("gone"))  # so that nothing can be found there by mistake

    app = tree / "app"
    assert await output(app / ".venv" / "bin" / "greet") == f"greetings from {app}/.venv"
    assert await output(app / ".venv" / "bin" / "python", "main.py", folder=app) == "a module by .pth"
    activated = f'. "{app}/.venv/bin/activate"; command -v greet'
    assert await output("sh", "-c", activated) == f"{app}/.venv/bin/greet"
    assert (app / "absolute").readlink() == app / "main.py"
    found = await anyio.run_process(["grep", "-rlF", str(here.root), str(tree)], check=False)
    assert found.stdout == b""


async def test_what_was_fetched_is_the_release_that_was_built(here: Machine, there: Machine) -> None:
    """Its digest is that of the artifact, files, modes, links and empty folders are as they were; byte code
    is left behind; fetched once, it is not fetched again."""
    artifact = await here.build(
        command=(
            "mkdir -p empty closed __pycache__; touch __pycache__/x.pyc; ln -s $PWD/main.py closed/link;"
            'echo "$PWD" > closed/file; chmod 444 closed/file; chmod 555 closed'
        )
    )
    assert artifact.release == digest("release", "1")
    tree = await there.artifacts.verify(artifact)
    assert tree.is_relative_to(there.folder)
    assert sorted(path.name for path in (tree / "app").iterdir()) == ["closed", "empty", "link", "main.py", "run.sh"]
    assert (tree / "app" / "closed").stat().st_mode & 0o777 == 0o555
    assert (tree / "app" / "closed" / "file").read_text() == f"{tree}/app\n"
    assert (tree / "app" / "closed" / "link").readlink() == tree / "app" / "main.py"
    assert await output(tree / "app" / "run.sh") == "hello"
    before = (tree / "app" / "main.py").stat().st_ino
    assert await there.artifacts.verify(artifact) == tree
    assert (tree / "app" / "main.py").stat().st_ino == before
    assert set(await there.artifacts.present()) == {artifact.release}
    assert there.left() == [tree.parent.name]


async def test_an_archive_of_the_same_tree_has_the_same_bytes(here: Machine, shared: Path) -> None:
    """Though it is built again."""
    artifact = await here.build("echo x > out")
    first = archive(shared).read_bytes()
    await here.artifacts.remove(artifact)
    await here.artifacts.remove(artifact)
    assert not await here.artifacts.available(artifact)
    (copy,) = (await here.artifacts.present()).values()
    await here.artifacts.remove(copy)
    assert here.left() == []
    assert await here.build("echo x > out") == artifact
    assert archive(shared).read_bytes() == first


async def test_what_was_built_before_it_was_to_be_shared_is_shared_and_not_built_again(
    here: Machine, there: Machine
) -> None:
    """Sharing may begin at any time; what programs wrote beside their code meanwhile is left behind."""
    request = BuildRequest(
        "app", digest("release", "1"), here.root, read_sources(here.root, ["app"]), "app", "", {}, here.root / "log"
    )
    unshared = await TreeArtifacts(here.folder).build(request)
    write(Path(unshared.location), {"app/app.log": "what the program writes", "app/cache.db": f"\0{unshared.location}"})
    assert not await here.artifacts.available(unshared)
    assert await here.artifacts.verify(unshared) == Path(unshared.location)
    artifact = await here.build("exit 1")
    assert artifact == replace(unshared, location=artifact.location)
    assert await here.artifacts.available(artifact)
    tree = await there.artifacts.verify(artifact)
    assert sorted(path.name for path in (tree / "app").iterdir()) == ["link", "main.py", "run.sh"]


# What can go wrong


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda app: (app / "main.py").write_text("print('hellO')\n"), id="changed"),
        pytest.param(lambda app: (app / "run.sh").unlink(), id="missing"),
        pytest.param(lambda app: (app / "../../files.json").write_text("{}"), id="list"),
    ],
)
async def test_a_damaged_copy_is_found_and_fetched_again(
    here: Machine, there: Machine, damage: Callable[[Path], object]
) -> None:
    """Though its files were changed to run there. Instances of the old copy keep their files."""
    artifact = await here.build('echo "cd $PWD" > where')
    tree = await there.artifacts.verify(artifact)
    running = os.open(tree / "app", os.O_RDONLY)
    damage(tree / "app")
    assert await there.artifacts.verify(artifact) == tree
    assert (tree / "app" / "where").read_text() == f"cd {tree}/app\n"
    assert await output(tree / "app" / "run.sh") == "hello"
    assert "main.py" in os.listdir(running)  # noqa: PTH208 - by descriptor, as an instance holds it
    os.close(running)


async def test_a_damaged_archive_is_refused_by_name(here: Machine, there: Machine, shared: Path) -> None:
    """Torn, of another release, or with other files than were built; nothing of it stays."""
    artifact = await here.build("echo x > out")
    file = archive(shared)
    good = file.read_bytes()
    for bad in (
        b"",
        good[:200],
        good[: len(good) // 2],
        b"no archive at all",
        repacked(good, {"tree/app/out": b"y\n"}),
    ):
        file.write_bytes(bad)
        with pytest.raises(ArtifactDamaged) as refused:
            await there.artifacts.verify(artifact)
        assert artifact.location in refused.value.detail
        assert "tidegate release app" in refused.value.hint
        assert there.left() == []
    file.write_bytes(good)
    with pytest.raises(ArtifactDamaged, match="another release"):
        await there.artifacts.verify(replace(artifact, release=digest("release", "2")))
    await there.artifacts.verify(artifact)


@pytest.mark.parametrize(
    "member", ["../out", str(OUTSIDE), "tree/../../out", "tree/app/link/out", "artifact.json", "tree/"]
)
async def test_an_archive_writes_nowhere_but_to_its_place(
    here: Machine, there: Machine, shared: Path, member: str
) -> None:
    """Whatever the names in it say, and wherever its links lead."""
    (here.root / "app" / "link").unlink()
    (here.root / "app" / "link").symlink_to("../app")
    artifact = await here.build("")
    archive(shared).write_bytes(repacked(archive(shared).read_bytes(), {member: b"x"}))
    with pytest.raises(ArtifactDamaged):
        await there.artifacts.verify(artifact)
    assert OUTSIDE.name not in os.listdir(OUTSIDE.parent)  # noqa: PTH208
    assert list(there.root.rglob("out")) == []
    assert there.left() == []


def repacked(content: bytes, changed: dict[str, bytes]) -> bytes:
    """The archive with other files in it."""
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as old,
        tarfile.open(fileobj=made, mode="w:gz") as new,
    ):
        for member in old:
            if member.name not in changed:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name, text in changed.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            new.addfile(info, io.BytesIO(text))
    return made.getvalue()


async def test_a_binary_that_holds_its_place_is_not_shared(here: Machine, shared: Path) -> None:
    """By name and with what to do, before anything is uploaded; byte code that names its source is harmless."""
    with pytest.raises(ReleaseError, match="app/tool, app/tool2 can only run where it was built") as refused:
        await here.build('printf "\\\\000$PWD" > tool; cp tool tool2; cp tool harmless.pyc')
    assert "harmless" not in str(refused.value)
    assert "-trimpath" in refused.value.hint
    with pytest.raises(ValueError, match="not enough values"):
        archive(shared)


async def test_a_missing_interpreter_is_called_so(here: Machine, there: Machine, tmp_path: Path) -> None:
    """It belongs to the machine and not to the artifact."""
    python = write(tmp_path, {"python3": "#!/bin/sh\n"}) / "python3"
    artifact = await here.build(f"mkdir bin; ln -s {python} bin/python")
    python.unlink()
    with pytest.raises(ArtifactDamaged, match=f"app/bin/python leads to {python}, which is not here"):
        await there.artifacts.verify(artifact)
    assert there.left() == []


async def test_an_artifact_that_lies_on_another_machine_alone_is_called_so(here: Machine, there: Machine) -> None:
    """Component, release, where it lies, and what would share it."""
    elsewhere = Artifact("sha256:1", digest("release", "1"), "tree", "x", "/srv/other/artifacts/app/0123/tree")
    for location in (elsewhere.location, "s3://other/app/0123/tree-x-1.tar.gz"):
        artifact = replace(elsewhere, location=location)
        assert not there.artifacts.reaches(artifact)
        with pytest.raises(ArtifactDamaged, match="cannot use the artifact of app") as refused:
            await there.artifacts.verify(artifact)
        assert location in refused.value.detail
        assert artifact.release.removeprefix("sha256:")[:10] in refused.value.detail
        assert "`artifacts:`" in refused.value.hint


async def test_an_archive_that_is_gone_is_built_and_shared_again(here: Machine, there: Machine, shared: Path) -> None:
    """By whoever releases next: where it was built it is packed again, where it was fetched it is built anew."""
    artifact = await here.build("echo x > out")
    await there.artifacts.verify(artifact)
    archive(shared).unlink()
    assert not await there.artifacts.available(artifact)
    with pytest.raises(ArtifactDamaged, match="is gone from"):
        await Machine(there.root / "fresh", shared).artifacts.verify(artifact)
    assert await here.build("exit 1") == artifact
    archive(shared).unlink()
    write(there.root, {"app/main.py": ""})
    again = await there.build("echo x > out")
    assert again.location == str(archive(shared))
    assert "sharing it" in there.lines[-1]


def test_texts_are_moved_once_and_links_of_others_are_left_alone(tmp_path: Path) -> None:
    """Also where one place is the end of another, and the new place holds the old one."""
    old, real, new = "/srv/tree", "/private/srv/tree", tmp_path / "srv" / "tree"
    new.mkdir(parents=True)
    write(new, {"a": f"{old} {real}/x {old}2", "b": "nothing of it", "run": f"#!{old}/bin/python -E\nprint()\n"})
    (new / "of others").symlink_to("/srv/tree2/x")
    (new / "its own").symlink_to(f"{real}/a")
    relocate(new, [old, real], new)
    assert (new / "a").read_text() == f"{new} {new}/x {new}2"
    assert (new / "of others").readlink() == Path("/srv/tree2/x")
    assert (new / "its own").readlink() == new / "a"
    assert (new / "run").stat().st_mode & 0o777 == 0o755


def test_a_first_line_that_became_too_long_is_left_to_the_shell(tmp_path: Path) -> None:
    """Python reads past it; its options are kept."""
    place = tmp_path / ("d" * 100) / "a $HOME `b`"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    write(place, {"run": "#!/old/tree/bin/python -I\nimport sys\nprint(sys.argv[1:], sys.flags.isolated)\n"})
    relocate(place, ["/old/tree"], place)
    done = subprocess.run([place / "run", "x y"], capture_output=True, text=True, check=True)
    assert done.stdout == "['x y'] 1\n"
