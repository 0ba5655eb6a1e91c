"""Back-off, ports, secrets and folders: the parts that need no process."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
from pathlib import Path

import pytest

from tidegate.drivers.local.agent.backoff import Backoff
from tidegate.drivers.local.agent.instance import replacing_the_shell
from tidegate.drivers.local.agent.state import InstanceRecord, ResourceRecord
from tidegate.drivers.local.folders import make_private, runtime_folder
from tidegate.drivers.local.memory import memory_free, rooms
from tidegate.drivers.local.ports import FIRST, LAST, PortRegistry, PortTaken
from tidegate.drivers.local.protocol import ResourceSpec
from tidegate.drivers.secrets import EnvironmentAndFileSecrets
from tidegate.errors import SecretError, TargetError
from tidegate.model.component import Health
from tidegate.model.pins import Secret


@pytest.mark.parametrize("url", ["db://$HOST:$PORT/x", "db://${HOST}:${PORT}/x", "db://127.0.0.1:$PORT/x"])
def test_the_url_of_a_resource_that_may_run_elsewhere_is_right_here(url: str) -> None:
    """$HOST is 127.0.0.1; what only begins like it is left alone."""
    spec = ResourceSpec("dev", "db", "", "x", f"{url}/$HOSTS", "/", Health(), 0, data=False)
    assert ResourceRecord(spec, InstanceRecord(0, 7000)).url == "db://127.0.0.1:7000/x/$HOSTS"


def test_restarts_wait_longer_and_longer_up_to_half_a_minute() -> None:
    """0.1 s, doubled each time."""
    backoff = Backoff()
    waits = [backoff.crashed(0.0, None) for _ in range(11)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-2:] == [30.0, 30.0]


def test_only_a_stable_period_makes_restarts_quick_again() -> None:
    """Being healthy for 9.9 s is not stable, 10 s is: a crash every few seconds stays crash-looping."""
    backoff = Backoff()
    for _ in range(3):
        backoff.crashed(100.0, 90.1)
    assert backoff.looping(100.0, 90.1)
    assert backoff.crashed(200.0, 190.1) == 0.8
    assert not backoff.looping(300.0, 290.0)
    assert backoff.crashed(300.0, 290.0) == 0.1


def test_a_simple_command_takes_the_place_of_its_shell() -> None:
    """Others keep the shell, since `exec` would change what they mean."""
    for command in ("uvicorn app:app --port $PORT", ".venv/bin/python -m shop"):
        assert replacing_the_shell(command) == f"exec {command}"
    for command in ("cd x && ./run", "A=1 ./run", "exec ./run", "a; b", "a | b", "for x in 1; do y; done"):
        assert replacing_the_shell(command) == command


def test_a_name_keeps_its_port_until_it_is_given_back(tmp_path: Path) -> None:
    """And a port that was given back is not given out again at once."""
    registry = PortRegistry(tmp_path / "state", tmp_path)
    ports = registry.take(["a", "b"])
    assert all(FIRST <= port <= LAST for port in ports.values())
    assert registry.take(["b", "a"]) == ports
    registry.give_back(["a", "unknown"])
    assert registry.take(["c"])["c"] not in ports.values()
    registry.give_back(["b", "c"])
    assert registry.names() == {}


def test_a_port_that_somebody_listens_on_is_not_given_out(tmp_path: Path) -> None:
    """Neither by chance nor as a fixed one."""
    registry = PortRegistry(tmp_path / "state", tmp_path)
    (first,) = registry.take(["a"]).values()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", FIRST + (first + 1 - FIRST) % (LAST - FIRST + 1)))
        stranger.listen()
        assert registry.take(["b"])["b"] != stranger.getsockname()[1]
        with pytest.raises(PortTaken, match="cannot use the fixed port"):
            registry.take_fixed("c", stranger.getsockname()[1])


def test_a_fixed_port_belongs_to_one(tmp_path: Path) -> None:
    """Who has it is named."""
    registry = PortRegistry(tmp_path / "state", tmp_path)
    port = registry.take(["dev/instance/backend-r1.0"])["dev/instance/backend-r1.0"]
    with pytest.raises(PortTaken) as failure:
        registry.take_fixed("stage/instance/backend-r1.0", port)
    assert f"dev/instance/backend-r1.0 of {tmp_path} has it" in failure.value.detail
    registry.take_fixed("dev/instance/backend-r1.0", port)


def take(state: Path, project: Path) -> list[int]:
    return list(PortRegistry(state, project).take(f"name {number}" for number in range(20)).values())


def test_projects_that_ask_at_once_get_different_ports(tmp_path: Path) -> None:
    """The registry is one file under one lock."""
    projects = [tmp_path / str(number) for number in range(4)]
    for project in projects:
        project.mkdir()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        taken = pool.starmap(take, [(tmp_path / "state", project) for project in projects])
    assert len({port for ports in taken for port in ports}) == 80


def test_ports_of_projects_whose_folder_is_gone_are_given_back(tmp_path: Path) -> None:
    """By whoever looks next."""
    gone = tmp_path / "gone"
    gone.mkdir()
    take(tmp_path / "state", gone)
    shutil.rmtree(gone)
    PortRegistry(tmp_path / "state", tmp_path).take(["a"])
    assert str(gone) not in (tmp_path / "state" / "ports.json").read_text()


@pytest.mark.parametrize(
    "content",
    [
        *("", "7", "[]", "{}", '{"next": 5}', '{"next": "x", "projects": {}}', '{"next": 99999999, "projects": {}}'),
        *('{"next": 21000, "projects": {"/": 5}}', '{"next": 21000, "projects": {"/": {"a": "b"}}}'),
    ],
)
def test_a_broken_registry_is_named_and_may_be_removed(tmp_path: Path, content: str) -> None:
    """Whatever is in it."""
    registry = PortRegistry(tmp_path, tmp_path)
    file = tmp_path / "ports.json"
    file.write_text(content)
    with pytest.raises(TargetError, match="cannot read the port registry") as failure:
        registry.take(["a"])
    assert "Remove the file" in failure.value.hint
    file.unlink()
    assert FIRST <= registry.take(["a"])["a"] <= LAST


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    """A file's last line ending is not part of the secret; relative paths start at the project."""
    (tmp_path / "token").write_text("from a file\n")
    secrets = EnvironmentAndFileSecrets(tmp_path, {"TOKEN": "from the environment"})
    assert secrets.resolve(Secret("env:TOKEN")) == "from the environment"
    assert secrets.resolve(Secret("file:token")) == "from a file"
    assert secrets.resolve(Secret(f"file:{tmp_path / 'token'}")) == "from a file"


def test_a_secret_is_never_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to would hold up a release for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretError, match="file:pipe") as failure:
        EnvironmentAndFileSecrets(tmp_path, {}).resolve(Secret("file:pipe"))
    assert "not a plain file" in failure.value.detail


@pytest.mark.parametrize("reference", ["env:NO_SUCH", "file:no-such", "vault:x", "env:", "plain"])
def test_a_secret_that_cannot_be_resolved_is_named_by_its_reference(tmp_path: Path, reference: str) -> None:
    """With what to do about it."""
    with pytest.raises(SecretError) as failure:
        EnvironmentAndFileSecrets(tmp_path, {}).resolve(Secret(reference))
    assert reference in failure.value.summary
    assert failure.value.hint


def test_a_secret_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    """No program could be started with it."""
    (tmp_path / "token").write_bytes(b"hidden\0token")
    with pytest.raises(SecretError, match="zero byte") as failure:
        EnvironmentAndFileSecrets(tmp_path).resolve(Secret("file:token"))
    assert "hidden" not in str(failure.value)


def test_the_run_time_folder_is_short_and_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_RUNTIME_DIR, or a private folder in /tmp where that is missing or too long for a socket."""
    monkeypatch.delenv("TIDEGATE_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert runtime_folder(tmp_path).parent == Path("/run/user/1000/tidegate")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/" + "x" * 80)
    assert runtime_folder(tmp_path).parent == Path(f"/tmp/tidegate-{os.getuid()}")
    assert runtime_folder(tmp_path) != runtime_folder(tmp_path / "clone")
    monkeypatch.setenv("TIDEGATE_RUNTIME_DIR", "/run/" + "x" * 80)
    with pytest.raises(TargetError, match="cannot use TIDEGATE_RUNTIME_DIR"):
        runtime_folder(tmp_path)


def test_a_relative_run_time_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent works elsewhere than the command that starts it."""
    monkeypatch.chdir("/tmp")
    monkeypatch.setenv("TIDEGATE_RUNTIME_DIR", "run")
    assert runtime_folder(Path("/project")).parent == Path("/tmp/run")


def test_a_run_time_folder_that_is_not_a_folder_of_ones_own_is_refused(tmp_path: Path) -> None:
    """A link that somebody laid in /tmp is not followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetError, match="cannot use the run-time folder"):
        make_private(tmp_path / "run" / "hash")
    make_private(tmp_path / "own" / "hash")
    assert (tmp_path / "own" / "hash").stat().st_mode & 0o777 == 0o700


def test_the_memory_that_is_free_ends_at_the_limits_we_are_under(tmp_path: Path) -> None:
    """Of this control group and of those above it; what only is cached counts as free, "max" is no limit."""
    own = tmp_path / "session" / "shell"
    own.mkdir(parents=True)
    for folder, limit, used in ((own, "max", 10), (own.parent, "1000", 700)):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 500\ninactive_file 50\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/session/shell\n")
    assert list(rooms(tmp_path, membership)) == [350]
    legacy = tmp_path / "memory" / "box"
    legacy.mkdir(parents=True)
    (legacy / "memory.limit_in_bytes").write_text("2000\n")
    (legacy / "memory.usage_in_bytes").write_text("500\n")
    (legacy / "memory.stat").write_text("total_inactive_file 100\n")
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/box\n0::/\n")
    assert list(rooms(tmp_path, membership)) == [1600]
    assert list(rooms(tmp_path, tmp_path / "no-such-file")) == []
    assert memory_free() > 0
