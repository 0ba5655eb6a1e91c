"""A release is built once, at the place where it runs, from exactly its sources; and it is whole or not there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from tests.builds.checkouts import write
from tidegate.builds.checkout import CheckoutBuilder
from tidegate.builds.source import read_sources
from tidegate.builds.tree import BuildRequest, TreeArtifacts, this_platform
from tidegate.errors import ArtifactDamaged, BuildFailed, ReleaseError
from tidegate.model.component import Artifact
from tidegate.model.digest import digest
from tidegate.ports.builder import Recipe

pytestmark = pytest.mark.anyio
BUILDER = Path(__file__).with_name("builder.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Yard:
    """A checkout and the artifacts that are built of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".tidegate" / "artifacts"
        self.artifacts = TreeArtifacts(self.folder)
        self.lines: list[str] = []
        self.log = root / ".tidegate" / "logs" / "app.log"

    def request(self, command: str, *, version: str = "1", folder: str = "app", **env: str) -> BuildRequest:
        return BuildRequest(
            component="app",
            release=digest("release", version),
            root=self.root,
            sources=read_sources(self.root, ["app"]),
            folder=folder,
            command=command,
            env=env,
            log=self.log,
            on_line=self.lines.append,
        )

    async def build(self, command: str = "", *, version: str = "1", folder: str = "app", **env: str) -> Artifact:
        return await self.artifacts.build(self.request(command, version=version, folder=folder, **env))

    def left(self) -> list[str]:
        """What lies among the artifacts, apart from locks."""
        return sorted(path.name for path in self.folder.glob("*/*") if path.suffix != ".lock")


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    files = {"app/main.py": "print('hello')\n", "app/run.sh": "#!/bin/sh\necho hello\n", "app/.gitignore": "*.log\n"}
    write(tmp_path, {**files, "app/debug.log": "", "other/secret": ""})
    (tmp_path / "app" / "link").symlink_to("main.py")
    return Yard(tmp_path)


async def test_a_build_sees_its_sources_and_nothing_else(yard: Yard) -> None:
    """Laid out as in the checkout; what is executable stays so; ignored files and other components are absent."""
    artifact = await yard.build("cd ..\nfind . -type f -o -type l | sort\n./app/run.sh\nreadlink app/link")
    assert yard.lines == ["./app/.gitignore", "./app/link", "./app/main.py", "./app/run.sh", "hello", "main.py"]
    assert yard.log.read_text().splitlines() == yard.lines
    assert (artifact.format, artifact.platform) == ("tree", this_platform())
    assert artifact.release == digest("release", "1")
    assert await yard.artifacts.verify(artifact) == Path(artifact.location)


async def test_a_build_sees_path_home_language_and_what_is_listed(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else of whoever calls; the programs that come with Tidegate are found last."""
    monkeypatch.setenv("CLOUD_TOKEN", "secret")
    monkeypatch.setenv("HOME", str(yard.root))
    await yard.build("env", MIRROR="here")
    seen = dict(line.split("=", 1) for line in yard.lines)
    assert seen["PATH"] == os.environ["PATH"] + os.pathsep + str(Path(sys.executable).parent)
    assert (seen["HOME"], seen["MIRROR"]) == (str(yard.root), "here")
    assert seen.keys() <= {"PATH", "HOME", "LANG", "MIRROR", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_a_release_is_built_once(yard: Yard) -> None:
    """Asked for again it is found, by a later process too."""
    first = await yard.build("date +%s%N > app.stamp")
    assert await yard.build("exit 1") == first
    assert await TreeArtifacts(yard.folder).build(yard.request("exit 1")) == first
    assert list(await yard.artifacts.present()) == [digest("release", "1")]


async def test_the_same_content_has_the_same_name(yard: Yard) -> None:
    """An artifact is named by what came out, not by when."""
    first = await yard.build("echo x > out")
    await yard.artifacts.remove(first)
    assert (await yard.build("echo x > out")).digest == first.digest
    assert (await yard.build("echo y > out", version="2")).digest != first.digest


async def test_without_a_command_the_sources_are_the_artifact(yard: Yard) -> None:
    """Nothing is run."""
    artifact = await yard.build()
    assert (Path(artifact.location) / "app" / "main.py").read_text() == "print('hello')\n"
    assert yard.log.read_text() == ""


async def test_a_command_of_the_system_needs_no_sources(yard: Yard) -> None:
    """A worker whose manifest is all that its folder holds still has a folder to run in."""
    artifact = await yard.build(folder="worker")
    assert list((Path(artifact.location) / "worker").iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("echo one\nfalse\necho two > two", "exit status 1", id="a line in the middle"),
        pytest.param("echo one; exit 7", "exit status 7", id="a status"),
        pytest.param("echo one; kill -9 $$", "signal 9", id="a signal"),
    ],
)
async def test_a_failed_build_leaves_nothing_but_its_log(yard: Yard, command: str, said: str) -> None:
    """The error shows its last lines and where the whole log is."""
    with pytest.raises(BuildFailed) as failed:
        await yard.build(command)
    assert said in failed.value.detail
    assert failed.value.detail.endswith("  | one")
    assert str(yard.log) in failed.value.hint
    assert yard.log.read_text() == "one\n"
    assert yard.left() == []
    assert await yard.artifacts.present() == {}


async def test_a_folder_that_is_not_there_is_named(yard: Yard) -> None:
    """Before any command runs."""
    with pytest.raises(BuildFailed, match="no folder nowhere"):
        await yard.build("true", folder="nowhere")
    assert yard.left() == []


async def test_what_a_build_leaves_running_is_ended_with_it(yard: Yard) -> None:
    """Its process group is gone, though it kept the output open."""
    await yard.build("sleep 600 & echo $!; nohup sleep 600 & echo $!")
    assert len(yard.lines) == 2
    await until(lambda: not any(_runs(int(pid)) for pid in yard.lines))


async def test_a_cancelled_build_leaves_nothing(yard: Yard) -> None:
    """No process and no file."""
    pids: list[int] = []

    async def build() -> None:
        request = yard.request("echo $$; sleep 600 & echo $!; wait")
        await yard.artifacts.build(replace(request, on_line=lambda line: pids.append(int(line))))

    async with anyio.create_task_group() as group:
        group.start_soon(build)
        await until(lambda: len(pids) == 2)
        group.cancel_scope.cancel()
    await until(lambda: not any(_runs(pid) for pid in pids))  # killed; the system takes a moment
    assert yard.left() == []


async def test_sources_that_change_while_they_are_copied_are_an_error(yard: Yard) -> None:
    """What is built is what its name says, or nothing."""
    request = yard.request("true")
    for change in (
        lambda: write(yard.root, {"app/main.py": "changed"}),
        (yard.root / "app" / "link").unlink,
        lambda: (yard.root / "app" / "run.sh").chmod(0o644),
    ):
        request = yard.request("true")
        change()
        with pytest.raises(ReleaseError, match="sources changed while they were read") as refused:
            await yard.artifacts.build(request)
        assert f"{refused.value.detail} is no source" in refused.value.hint
        assert ".gitignore" in refused.value.hint
        assert yard.left() == []


async def test_a_place_that_cannot_be_written_is_an_error_of_the_release(yard: Yard) -> None:
    """With the path, and what to look at."""
    yard.folder.parent.mkdir(parents=True)
    yard.folder.write_text("a file where the folder should be")
    with pytest.raises(ReleaseError, match="artifacts"):
        await yard.build("true")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_disk_is_a_clean_error(yard: Yard) -> None:
    """Nothing is left."""
    for command in ("echo hello", "yes | head -c 100000; sleep 600"):
        request = replace(yard.request(command), log=Path("/dev/full"))
        with pytest.raises(ReleaseError, match="No space left"):
            await yard.artifacts.build(request)
        assert yard.left() == []


# Damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(
            lambda app: (app / "main.py").write_text("print('hellO')\n"), "app/main.py was changed", id="text"
        ),
        pytest.param(lambda app: (app / "run.sh").chmod(0o644), "app/run.sh was changed", id="mode"),
        pytest.param(lambda app: (app / "out").unlink(), "app/out is missing", id="missing"),
        pytest.param(shutil.rmtree, "app/.gitignore is missing", id="folder"),
        pytest.param(
            lambda app: ((app / "link").unlink(), (app / "link").symlink_to("run.sh")),
            "app/link was changed",
            id="link",
        ),
        pytest.param(lambda app: (app / "../../files.json").write_text("{}"), "files.json was changed", id="list"),
    ],
)
async def test_damage_is_found_and_refused(yard: Yard, damage: Callable[[Path], object], said: str) -> None:
    """By name, with the way to get it again; which then works."""
    artifact = await yard.build("echo x > out")
    damage(Path(artifact.location) / "app")
    with pytest.raises(ArtifactDamaged) as found:
        await yard.artifacts.verify(artifact)
    assert said in found.value.detail
    assert "tidegate release app" in found.value.hint
    assert await yard.artifacts.present() == {}
    again = await yard.build("echo x > out")
    assert again == artifact
    await yard.artifacts.verify(again)


async def test_many_damaged_files_are_counted(yard: Yard) -> None:
    """Three by name."""
    artifact = await yard.build("for n in 1 2 3 4 5; do echo $n > f$n; done")
    for path in (Path(artifact.location) / "app").glob("f*"):
        path.write_text("damaged")
    with pytest.raises(ArtifactDamaged, match="and 2 more"):
        await yard.artifacts.verify(artifact)


async def test_what_programs_write_beside_their_code_is_no_damage(yard: Yard) -> None:
    """Byte code, logs, caches: what was built is unchanged."""
    artifact = await yard.build("true")
    write(Path(artifact.location), {"app/__pycache__/main.pyc": "x", "app/app.log": "x"})
    await yard.artifacts.verify(artifact)


async def test_instances_of_a_damaged_artifact_keep_their_files(yard: Yard) -> None:
    """Building it again moves the folder aside; removing it takes both."""
    artifact = await yard.build("true")
    (Path(artifact.location) / "app" / "main.py").write_text("damaged")
    before = os.open(artifact.location, os.O_RDONLY)
    try:
        with pytest.raises(ArtifactDamaged):
            await yard.artifacts.verify(artifact)
        again = await yard.build("true")
        assert os.listdir(before) == ["app"]  # noqa: PTH208 - by descriptor, as an instance holds it
        assert len(yard.left()) == 2
    finally:
        os.close(before)
    await yard.artifacts.remove(again)
    assert yard.left() == []


@pytest.mark.parametrize("content", ["", "[]", "7", "{}", "garbage"])
async def test_instances_of_an_artifact_with_a_spoilt_marker_live_on(yard: Yard, content: str) -> None:
    """It was complete once, so what works in its folder is an instance and no leftover of a build."""
    artifact = await yard.build("true")
    tree = Path(artifact.location)
    with subprocess.Popen(["sleep", "60"], cwd=tree / "app") as instance:  # noqa: ASYNC220 - nobody waits for it
        (tree.parent / "artifact.json").write_text(content)
        again = await yard.build("true")
        assert instance.poll() is None
        instance.kill()
    await yard.artifacts.verify(again)


async def test_another_artifact_in_its_place_is_refused(yard: Yard) -> None:
    """The store says which one was promoted; a missing one is told too, and what is there stays."""
    artifact = await yard.build("true")
    with pytest.raises(ArtifactDamaged, match="another artifact"):
        await yard.artifacts.verify(replace(artifact, digest="sha256:other"))
    assert await yard.artifacts.present() == {artifact.release: artifact}
    await yard.artifacts.remove(artifact)
    with pytest.raises(ArtifactDamaged, match="missing"):
        await yard.artifacts.verify(artifact)


async def test_removing_is_thorough_and_harmless_twice(yard: Yard) -> None:
    """Folders that forbid writing go too; what lies elsewhere is refused."""
    artifact = await yard.build("mkdir -p a/b; echo x > a/b/c; chmod 555 a a/b")
    await yard.artifacts.remove(artifact)
    await yard.artifacts.remove(artifact)
    assert yard.left() == []
    with pytest.raises(ReleaseError, match="not below"):
        await yard.artifacts.remove(replace(artifact, location=str(yard.root / "app" / "x" / "tree")))
    assert (yard.root / "app").exists()


# Several processes


def builder(yard: Yard, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(BUILDER), str(yard.root), command], stdout=subprocess.PIPE, text=True)


async def test_two_processes_that_build_the_same_release_build_it_once(yard: Yard) -> None:
    """The second says that it waits, and uses what the first made."""
    gate, count = yard.root / "gate", yard.root / "count"
    command = f"echo begun; echo x >> {count}; until [ -e {gate} ]; do sleep 0.02; done"
    both = [builder(yard, command), builder(yard, command)]
    said = [process.stdout.readline().strip() for process in both if process.stdout]
    assert sorted(said) == ["begun", "waiting for another process that builds this release"]
    gate.touch()
    rest = [process.communicate(timeout=60)[0].split() for process in both]
    assert rest[0] == rest[1]
    assert rest[0][0].startswith("sha256:")
    assert count.read_text() == "x\n"


async def test_a_build_that_was_killed_is_replaced_by_the_next(yard: Yard) -> None:
    """What it left is rubbish: it counts as no artifact, its lock is free, what still runs of it is ended, and nothing
    of it gets into the next."""
    process = builder(yard, "echo half > half; echo $$; while :; do sleep 0.01; echo half > $PWD/half; done")
    assert process.stdout is not None
    shell = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(yard.left()) == 1
    assert await yard.artifacts.present() == {}
    assert _runs(shell)
    artifact = await yard.artifacts.build(replace(yard.request("ls"), release="sha256:" + "e" * 64))
    assert not _runs(shell)
    assert yard.lines == ["link", "main.py", "run.sh"]
    await yard.artifacts.verify(artifact)
    assert len(yard.left()) == 1


# Languages


async def test_a_python_release_runs_at_its_place(yard: Yard) -> None:
    """A virtual environment holds absolute paths; it is made where it will run."""
    artifact = await yard.build(
        f"uv venv --quiet --offline --python {sys.executable} .venv\n.venv/bin/python -m compileall -q main.py"
    )
    python = Path(artifact.location) / "app" / ".venv" / "bin" / "python"
    done = await anyio.run_process([python, "-c", "import sys; print(sys.prefix)"])
    assert done.stdout.decode().strip() == f"{artifact.location}/app/.venv"
    await yard.artifacts.verify(artifact)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_a_node_release_is_built_and_runs(yard: Yard) -> None:
    """Any language: the build makes node_modules, which sources never hold, and the program finds it."""
    write(
        yard.root,
        {
            "app/vendor/greet.js": "module.exports = name => `hello ${name}`\n",
            "app/server.js": "console.log(require('greet')('tide'))\n",
            "app/build.js": "const fs = require('fs')\nfs.mkdirSync('node_modules')\n"
            "fs.copyFileSync('vendor/greet.js', 'node_modules/greet.js')\n",
        },
    )
    artifact = await yard.build("node build.js\nnode --check server.js")
    done = await anyio.run_process(["node", "server.js"], cwd=f"{artifact.location}/app")
    assert done.stdout == b"hello tide\n"
    await yard.artifacts.verify(artifact)


# The builder of a checkout


async def test_a_checkout_builds_what_it_named(tmp_path: Path) -> None:
    """Edited between naming and building, it is an error; named again, it is built."""
    root = write(tmp_path, {"app/x": "1", "app/service.yaml": "", "lib/y": "1"})
    state = root / ".tidegate"
    builder = CheckoutBuilder(root, TreeArtifacts(state / "artifacts"), {"ANSWER": "42"}, logs=state / "logs")
    recipe = Recipe("app", ("app", "lib"), ("app/service.yaml",), "app", "echo $ANSWER; cat x ../lib/y")
    before = (await builder.read([recipe]))["app"]
    assert before.dirty
    write(root, {"app/x": "2"})
    lines: list[str] = []
    with pytest.raises(ReleaseError, match="sources changed"):
        await builder.build(recipe, digest("release", before.digest), lines.append)
    after = (await builder.read([recipe]))["app"]
    assert after.digest != before.digest
    artifact = await builder.build(recipe, digest("release", after.digest), lines.append)
    assert lines == ["42", "21"]
    assert not (Path(artifact.location) / "app" / "service.yaml").exists()
    assert [path.suffix for path in (state / "logs").iterdir()] == [".log"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, at most half a minute."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await anyio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
