"""One agent per project: started on demand, adopted after its death, gone with the last environment."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.local.worlds import SERVICE, World, alive, get, listens, python, until
from tidegate.drivers.local.target import LocalTarget
from tidegate.errors import StepFailed, TargetError, TargetUnreachable
from tidegate.model.address import GroupAddress
from tidegate.model.digest import digest_bytes, short
from tidegate.model.observed import InstanceState, Observed
from tidegate.model.pins import Secret
from tidegate.model.step import Prepare
from tidegate.ports.target import DescribesInstances, Epoch, FollowsLogs, LogLine

# ruff: noqa: ASYNC240 - files are looked at, not served
pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


async def processes(shop: World, group: GroupAddress) -> dict[int, int]:
    """Pids by index."""
    return {i.index: i.pid for i in (await shop.target.observe("dev")).groups[group].instances}


async def test_looking_starts_nothing(shop: World) -> None:
    """Where nothing was ever started there is no agent, and no file."""
    observed = await shop.target.observe("dev")
    assert observed == Observed("dev", memory_free=observed.memory_free)
    assert observed.memory_free > 0
    await shop.target.forget("dev")
    with pytest.raises(TargetError, match="cannot describe"):
        await shop.target.surroundings(shop.group())
    assert not shop.state.exists()


async def test_services_survive_the_death_of_the_agent_and_are_adopted(shop: World) -> None:
    """No request fails meanwhile, nothing is started anew, and the next agent supervises as before."""
    group, _ = await shop.start(shop.add("backend"), replicas=2)
    url = (await shop.enter(group))["backend"]
    before = await processes(shop, group)
    agent = shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    assert (await get(url))[0] == 200
    assert await processes(shop, group) == before
    assert shop.agent()["pid"] != agent
    assert (await get(url))[0] == 200
    os.kill(before[1], signal.SIGKILL)
    await until(lambda: replaced(shop, group, before))
    assert (await processes(shop, group))[0] == before[0]


async def replaced(shop: World, group: GroupAddress, before: dict[int, int]) -> bool:
    seen = (await shop.target.observe("dev")).groups[group]
    return seen.healthy == 2 and seen.instances[1].pid != before[1] and seen.instances[1].restarts == 1


async def test_an_instance_that_died_with_the_agent_is_started_again(shop: World) -> None:
    """A pid alone proves nothing: what runs under it now is not taken for the instance."""
    group, _ = await shop.start(shop.add("backend"))
    pid = (await processes(shop, group))[0]
    agent = shop.agent()["pid"]
    shop.kill_agent()
    os.killpg(pid, signal.SIGKILL)
    await until(lambda: not alive(agent) and not alive(pid))
    record = shop.record()
    record["environments"]["dev"]["groups"][0]["instances"][0]["pid"] = os.getpid()
    (shop.state / "agent" / "state.json").write_text(json.dumps(record))
    await until(lambda: healthy(shop, group))
    assert (await processes(shop, group))[0] not in {pid, os.getpid()}


async def test_what_an_instance_left_behind_does_not_keep_its_port(shop: World) -> None:
    """The agent and the leader are gone, a child that it started still prints into its log: it is ended first."""
    note = shop.root / "child"
    release = shop.add("backend", run=f"sh -c 'echo $$ > {note}; while :; do sleep 1; done' & {python(SERVICE)}")
    group, _ = await shop.start(release)
    await until(lambda: note.exists() and note.read_text().strip())
    child = int(note.read_text())
    pid, agent = (await processes(shop, group))[0], shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: healthy(shop, group))
    await until(lambda: not alive(child))


async def healthy(shop: World, group: GroupAddress) -> bool:
    return (await shop.target.observe("dev")).groups[group].healthy == 1


async def test_an_agent_of_another_version_is_replaced_and_its_services_adopted(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade of Tidegate interrupts nothing."""
    group, _ = await shop.start(shop.add("backend"))
    url = (await shop.enter(group))["backend"]
    before, agent = await processes(shop, group), shop.agent()["pid"]
    shop.target = shop.another_target()
    monkeypatch.setattr("tidegate.drivers.local.client._SPOKEN", ("0.0.9", 0))
    # This side claims a version that no agent has: each new agent is asked to leave, and the next is asked again.
    with pytest.raises(TargetUnreachable):
        await shop.target.observe("dev")
    monkeypatch.undo()
    shop.target = shop.another_target()
    assert await processes(shop, group) == before
    assert not alive(agent)
    assert (await get(url))[0] == 200


async def test_two_commands_at_once_start_one_agent(shop: World) -> None:
    """Whoever comes second finds the first."""
    release = shop.add("backend")
    targets = [shop.another_target() for _ in range(4)]
    step, epoch = Prepare("backend", release.digest), Epoch("dev", 1, ("backend",))
    await asyncio.gather(*(target.run(step, epoch) for target in targets))
    assert agents_of(shop) == [shop.agent()["pid"]]


def agents_of(shop: World) -> list[int]:
    """All processes that are agents of this project, also those on their way out."""
    mine = f"local.agent\0{shop.root}\0".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mine in (folder / "cmdline").read_bytes() and alive(int(folder.name)):
                found.append(int(folder.name))
    return found


async def test_the_agent_has_no_terminal_and_only_this_user_reaches_it(shop: World) -> None:
    """Own session, folder /, socket 0600 in a folder 0700; none of the caller's variables."""
    await shop.start(shop.add("backend"))
    agent = shop.agent()
    pid, socket = agent["pid"], Path(agent["socket"])
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    names = {line.partition(b"=")[0] for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    assert b"PYTEST_CURRENT_TEST" not in names


async def test_an_instance_gets_what_is_listed_and_nothing_else_of_the_caller(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH, HOME, LANG, its own variables, and those of Tidegate."""
    monkeypatch.setenv("CALLERS_OWN", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    settings = digest_bytes("settings", b'{"greeting": "hello"}')
    shop.blobs[settings] = b'{"greeting": "hello"}'
    db, _ = await shop.start(shop.add("catalog-db"))
    release = shop.add("backend", needs=("catalog-db",))
    group, url = await shop.start(
        release,
        env={"COLOUR": "blue", "TOKEN": Secret("env:TOKEN")},
        edges={"catalog-db": db},
        settings=settings,
    )
    _, env = await get(url, "/env")
    assert {name for name in env if name not in {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}} == {
        *("PATH", "HOME", "LANG", "COLOUR", "TOKEN", "PORT", "CATALOG_DB_URL"),
        *("TIDEGATE_ENVIRONMENT", "TIDEGATE_COMPONENT", "TIDEGATE_RELEASE", "TIDEGATE_INSTANCE", "TIDEGATE_SETTINGS"),
    }
    assert (env["TIDEGATE_ENVIRONMENT"], env["TIDEGATE_COMPONENT"]) == ("dev", "backend")
    assert (env["TIDEGATE_INSTANCE"], env["TIDEGATE_RELEASE"]) == ("backend-r1.0", short(release.digest))
    assert (env["COLOUR"], env["TOKEN"]) == ("blue", "s3cr3t-value")
    assert Path(env["TIDEGATE_SETTINGS"]).read_text() == '{"greeting": "hello"}'
    assert (await get(env["CATALOG_DB_URL"]))[0] == 200
    assert isinstance(shop.target, DescribesInstances)
    surroundings = await shop.target.surroundings(group)
    assert dict(surroundings.env) == {name: env[name] for name in env.keys() & surroundings.env.keys()}
    assert surroundings.env["TOKEN"] == "s3cr3t-value"
    assert surroundings.folder == str(shop.root)


async def test_secret_values_are_never_on_disk_and_outlive_the_agent(shop: World) -> None:
    """A crashed instance gets them again from the next agent too, which knows them from its living sibling."""
    release = shop.add("backend")
    group, _ = await shop.start(release, replicas=2, env={"TOKEN": Secret("env:TOKEN")})
    before, agent = await processes(shop, group), shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    os.killpg(before[1], signal.SIGKILL)
    await until(lambda: replaced(shop, group, before))
    address = (await shop.target.observe("dev")).groups[group].instances[1].address
    assert (await get(f"http://{address}", "/env"))[1]["TOKEN"] == "s3cr3t-value"
    files = [path for path in [*shop.root.rglob("*"), *shop.root.parent.rglob("*")] if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if b"s3cr3t-value" in path.read_bytes()] == []
    assert b"env:TOKEN" in (shop.state / "agent" / "state.json").read_bytes()


async def test_when_no_instance_is_left_to_know_the_secrets_the_group_waits_for_its_start(shop: World) -> None:
    """As after a reboot: the next `up` brings the values."""
    release = shop.add("backend")
    env = {"TOKEN": Secret("env:TOKEN")}
    group, _ = await shop.start(release, env=env)
    pid, agent = (await processes(shop, group))[0], shop.agent()["pid"]
    shop.kill_agent()
    os.killpg(pid, signal.SIGKILL)
    await until(lambda: not alive(agent) and not alive(pid))
    seen = (await shop.target.observe("dev")).groups[group]
    assert [instance.state for instance in seen.instances] == [InstanceState.STOPPED]
    await shop.start(release, env=env)
    assert await healthy(shop, group)


async def test_a_secret_that_is_not_there_fails_the_start_by_its_reference(shop: World) -> None:
    """And names no value."""
    with pytest.raises(StepFailed) as failure:
        await shop.start(shop.add("backend"), env={"TOKEN": Secret("env:NO_SUCH")})
    assert "env:NO_SUCH" in failure.value.detail


async def test_two_clones_never_share_a_port(shop: World) -> None:
    """Nor do two environments of one clone; entries keep their ports over every release."""
    (shop.root.parent / "clone").mkdir()
    other = World(shop.root.parent / "clone")
    first, _ = await shop.start(shop.add("backend"))
    second, _ = await other.start(other.add("backend"))
    url = (await shop.enter(first))["backend"]
    other_url = (await other.enter(second))["backend"]
    assert url != other_url
    assert (await get(url))[1] == (await get(other_url))[1]
    await other.down()
    later, _ = await shop.start(shop.add("backend", "2"), born=2)
    assert (await shop.enter(later))["backend"] == url


async def test_forgetting_the_last_environment_leaves_nothing(shop: World) -> None:
    """No process, no port, no socket, no folder; only the agent's log and its empty lock."""
    group, _ = await shop.start(shop.add("backend"), replicas=2)
    await shop.enter(group)
    with pytest.raises(TargetError, match="cannot forget dev"):
        await shop.target.forget("dev")
    agent = shop.agent()
    gateway = json.loads((shop.state / "agent" / "gateway" / "process.json").read_text())["pid"]
    pids = [agent["pid"], gateway, *(await processes(shop, group)).values()]
    registry = Path(os.environ["TIDEGATE_STATE_DIR"]) / "ports.json"
    ports = list(json.loads(registry.read_text())["projects"][str(shop.root)].values())
    assert len(ports) == 3  # two instances and the entry; the candidate's was given back
    assert all(listens(port) for port in ports)
    await shop.down()
    assert [pid for pid in pids if alive(pid)] == []
    assert [port for port in ports if listens(port)] == []
    assert json.loads(registry.read_text())["projects"] == {}
    assert not Path(agent["socket"]).parent.exists()
    files = {str(path.relative_to(shop.state)) for path in shop.state.rglob("*") if path.is_file()}
    assert files == {"agent/agent.log", "agent/lock"}
    assert (shop.state / "agent" / "agent.log").read_text() == ""


async def test_deleting_the_state_of_a_project_ends_what_runs(shop: World) -> None:
    """`rm -rf .tidegate` leaves no process that nobody knows any more, and no port that is taken by one."""
    group, _ = await shop.start(shop.add("backend"), replicas=2)
    await shop.enter(group)
    agent = shop.agent()
    gateway = json.loads((shop.state / "agent" / "gateway" / "process.json").read_text())["pid"]
    pids = [agent["pid"], gateway, *(await processes(shop, group)).values()]
    shutil.rmtree(shop.state)
    await until(lambda: not any(alive(pid) for pid in pids))
    registry = Path(os.environ["TIDEGATE_STATE_DIR"]) / "ports.json"
    assert str(shop.root) not in json.loads(registry.read_text())["projects"]
    assert not shop.state.exists()


async def test_an_agent_that_does_not_answer_is_named(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never taken for an empty environment, and the message says what to end."""
    monkeypatch.setattr("tidegate.drivers.local.target.PATIENCE", 0.5)
    monkeypatch.setattr("tidegate.drivers.local.client.PATIENCE", 0.5)
    group, _ = await shop.start(shop.add("backend"))
    agent = shop.agent()["pid"]
    os.kill(agent, signal.SIGSTOP)
    try:
        with pytest.raises(TargetUnreachable) as failure:
            await shop.another_target().observe("dev")
    finally:
        os.kill(agent, signal.SIGCONT)
    assert f"kill -9 {agent}" in failure.value.hint
    assert (await shop.target.observe("dev")).groups[group].healthy == 1


async def test_a_project_that_was_moved_while_it_runs_is_told_so(shop: World) -> None:
    """Nothing is changed; moved back, everything is as it was."""
    group, _ = await shop.start(shop.add("backend"))
    moved = shop.root.with_name("moved")
    shop.root.rename(moved)
    try:
        elsewhere = LocalTarget(moved, moved / ".tidegate", shop, shop, shop.secrets)
        with pytest.raises(TargetUnreachable, match="moved while it runs") as failure:
            await elsewhere.observe("dev")
        assert str(shop.root) in failure.value.detail
    finally:
        moved.rename(shop.root)
    assert (await shop.another_target().observe("dev")).groups[group].healthy == 1


async def test_forgetting_one_environment_leaves_the_others_alone(shop: World) -> None:
    """Their agent and their gateway go on."""
    group, _ = await shop.start(shop.add("backend"))
    url = (await shop.enter(group))["backend"]
    agent = shop.agent()["pid"]
    shop.environment = "stage"
    group, _ = await shop.start(shop.add("backend"))
    await shop.enter(group)
    await shop.down("stage")
    assert alive(agent)
    assert (await get(url))[0] == 200
    assert (await shop.target.observe("stage")).groups == {}


async def test_logs_show_what_instances_print_and_follow_it(shop: World) -> None:
    """The last lines first, then new ones as they come."""
    assert isinstance(shop.target, FollowsLogs)
    release = shop.add("backend", run=f"echo one; echo two; {python(SERVICE)}")
    group, url = await shop.start(release, replicas=2)
    lines = [line async for line in shop.target.logs("dev", [group], tail=2, follow=False)]
    assert [line.instance for line in lines] == ["backend-r1.0", "backend-r1.0", "backend-r1.1", "backend-r1.1"]
    assert lines[0] == LogLine("backend", "backend-r1.0", "two")
    followed: list[str] = []

    async def follow() -> None:
        async for line in shop.target.logs("dev", [group], tail=0, follow=True):
            followed.append(line.text)  # noqa: PERF401 - it never ends

    task = asyncio.create_task(follow())
    address = (await shop.target.observe("dev")).groups[group].instances[0].address
    with pytest.raises((ValueError, IndexError, ConnectionError, TimeoutError)):
        await get(f"http://{address}", "/exit")
    await until(lambda: followed[:3] == ["asked to exit", "one", "two"])
    task.cancel()
    await asyncio.wait([task])
    assert url


@pytest.mark.parametrize(
    "content",
    [
        *("{", "", "[]", "7", "null", "{}", '{"format": 1}', '{"format": 1, "environments": []}'),
        *('{"format": 1, "environments": {"dev": 5}}', '{"format": 99, "environments": {}}'),
    ],
)
async def test_a_broken_state_file_is_never_taken_for_an_empty_environment(shop: World, content: str) -> None:
    """The target says that it cannot see, and why."""
    (shop.state / "agent").mkdir(parents=True)
    (shop.state / "agent" / "state.json").write_text(content)
    with pytest.raises(TargetUnreachable) as failure:
        await shop.target.observe("dev")
    assert "state.json" in failure.value.detail
    (shop.state / "agent" / "state.json").unlink()


@pytest.mark.parametrize("content", ["7", "[]", "null", "{}", '{"socket": 5}', '{"socket": null}', "garbage"])
async def test_what_a_broken_lock_file_says_is_not_believed(shop: World, content: str) -> None:
    """Nobody holds it, so the next agent takes it."""
    (shop.state / "agent").mkdir(parents=True)
    (shop.state / "agent" / "lock").write_text(content)
    await shop.start(shop.add("backend"))
    assert shop.agent()["pid"]


async def test_an_agent_without_its_socket_makes_room_for_the_next(shop: World) -> None:
    """Somebody emptied the run-time folder: what runs goes on, and can be reached again."""
    await shop.start(shop.add("backend"))
    before = shop.agent()
    (group,) = (await shop.target.observe("dev")).groups.values()
    shutil.rmtree(Path(before["socket"]).parent)
    await until(lambda: not alive(before["pid"]))
    (again,) = (await shop.target.observe("dev")).groups.values()
    assert [instance.pid for instance in again.instances] == [instance.pid for instance in group.instances]
    assert shop.agent()["pid"] != before["pid"]


async def test_the_agent_is_a_program_that_is_found_by_its_name(shop: World) -> None:
    """Started twice by hand, the second one finds the first and ends well."""
    await shop.start(shop.add("backend"))
    runtime = Path(shop.agent()["socket"]).parent
    command = [sys.executable, "-m", "tidegate.drivers.local.agent", str(shop.root), str(shop.state), str(runtime)]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
