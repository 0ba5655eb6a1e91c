"""Commands that run to their end on this machine: migrations and tasks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.worlds import World, alive, until
from tidegate.drivers.local.agent.command import NEVER, WRAPPER, said
from tidegate.drivers.local.agent.runbook import Runbook, RunRecord
from tidegate.errors import StepFailed, TargetError
from tidegate.model.address import RunAddress
from tidegate.model.component import Hook, Release, RunKind
from tidegate.model.digest import digest_bytes, short
from tidegate.model.encoding import pin_to_json
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.pins import Pin, Secret, Shape, Value
from tidegate.model.step import Assume, Prepare, Revert, Run
from tidegate.ports.target import KeepsOutput

pytestmark = [pytest.mark.anyio]


def run_of(release: Release, what: RunKind = RunKind.BEFORE, turn: int = 0) -> RunAddress:
    return RunAddress("dev", release.component, release.digest, what, turn)


def step(release: Release, **env: Value) -> Run:
    return Run(run_of(release), Pin(release.digest, "", Shape(env=tuple(env.items()))))


async def seen(shop: World, run: RunAddress) -> ObservedRun | None:
    return (await shop.target.observe("dev")).runs.get(run)


async def state(shop: World, run: RunAddress) -> RunState | None:
    found = await seen(shop, run)
    return found.state if found else None


def waiting(shop: World, name: str = "go") -> str:
    """A command that says its process and waits until a test makes this file."""
    return f"echo $$ > {shop.root}/pid; echo begun; until test -e {shop.root}/{name}; do sleep 0.05; done"


async def pid_of(shop: World) -> int:
    file = shop.root / "pid"
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


async def test_it_goes_on_when_its_caller_vanishes_and_is_known_as_done(shop: World) -> None:
    """Cancelled, or overtaken by a younger epoch: whoever asks next waits for it, and it ran once. Meanwhile nobody may
    say what became of it, and nothing is forgotten."""
    release = shop.add("orders", before=Hook(f"{waiting(shop)}; echo x >> {shop.root}/ran"))
    first = asyncio.create_task(shop.run(step(release), "orders"))
    pid = await pid_of(shop)
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(shop.run(step(release), "orders"))
    await until(lambda: state_is(shop, release, RunState.RUNNING))
    await shop.run(Prepare("orders", release.digest), "orders", epoch=2)
    with pytest.raises(StepFailed, match="cannot change orders"):
        await second
    assert alive(pid)
    with pytest.raises(StepFailed, match="cannot say what became"):
        await shop.run(Assume(run_of(release), None), "orders", epoch=2)
    with pytest.raises(TargetError, match="cannot forget dev"):
        await shop.target.forget("dev", data=True)
    third = asyncio.create_task(shop.run(step(release), "orders", epoch=2))
    (shop.root / "go").touch()
    await third
    assert await seen(shop, run_of(release)) == ObservedRun(run_of(release), RunState.DONE, step(release).pin, 0)
    assert (shop.root / "ran").read_text() == "x\n"


async def state_is(shop: World, release: Release, wanted: RunState) -> bool:
    return await state(shop, run_of(release)) is wanted


async def test_when_the_agent_dies_in_the_middle_the_next_one_knows_how_it_ended(shop: World) -> None:
    """It watches what still runs, finds the status of what ended meanwhile, and nothing runs twice."""
    note = f"echo x >> {shop.root}/ran"
    release, other = (
        shop.add(name, before=Hook(f"{waiting(shop)}; {note}; exit {status}"))
        for name, status in (("orders", 0), ("stock", 7))
    )
    task = asyncio.create_task(shop.run(step(release), "orders"))
    await pid_of(shop)
    agent = shop.agent()["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    assert await state(shop, run_of(release)) is RunState.RUNNING
    assert shop.agent()["pid"] != agent
    (shop.root / "go").touch()
    await task
    assert await state(shop, run_of(release)) is RunState.DONE
    (shop.root / "go").unlink()
    (shop.root / "pid").unlink()
    task = asyncio.create_task(shop.run(step(other), "stock"))
    pid, agent = await pid_of(shop), shop.agent()["pid"]
    task.cancel()
    await asyncio.wait([task])
    shop.kill_agent()
    await until(lambda: not alive(agent))
    (shop.root / "go").touch()
    await until(lambda: not alive(pid) and status_file(shop, other).exists())
    found = await seen(shop, run_of(other))
    assert found is not None
    assert (found.state, found.status) == (RunState.FAILED, 7)
    assert (shop.root / "ran").read_text() == "x\nx\n"


def status_file(shop: World, release: Release) -> Path:
    return shop.state / "data" / "dev" / f".{run_of(release).name}.status"


@pytest.mark.parametrize("retry", [False, True])
async def test_one_that_was_killed_while_no_agent_lived_asks_before_it_runs_again(shop: World, retry: bool) -> None:
    """Nobody saw how it ended; only one that says so may simply run again. Nothing of it is left."""
    command = f"{waiting(shop)}; echo done"
    release = shop.add("orders", before=Hook(f"({command}) > /dev/null", retry=retry))
    task = asyncio.create_task(shop.run(step(release), "orders"))
    pid, agent = await pid_of(shop), shop.agent()["pid"]
    task.cancel()
    await asyncio.wait([task])
    wrapper = runbook(shop)["runs"][0]["pid"]
    shop.kill_agent()
    await until(lambda: not alive(agent))
    os.kill(wrapper, signal.SIGKILL)
    await until(lambda: not alive(wrapper))
    assert await state(shop, run_of(release)) is RunState.INTERRUPTED
    await until(lambda: not alive(pid))
    (shop.root / "go").touch()
    if retry:
        await shop.run(step(release), "orders")
        assert await state(shop, run_of(release)) is RunState.DONE
        return
    with pytest.raises(StepFailed, match="cannot run `before` of orders") as failure:
        await shop.run(step(release), "orders")
    assert "was ended in the middle, nobody saw how" in failure.value.detail
    assert "tidegate resume dev --ran orders` or `--not-ran orders`" in failure.value.hint
    await shop.run(Assume(run_of(release), RunState.DONE), "orders")
    assert await state(shop, run_of(release)) is RunState.DONE


def runbook(shop: World) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shop.state / "data" / "dev" / ".runs.json").read_text())
    return content


async def test_a_command_that_a_signal_ended_did_not_say_how_far_it_came(shop: World) -> None:
    """As one that was ended with its shell: it is asked for, not repeated."""
    release = shop.add("orders", before=Hook("kill -9 $$"))
    with pytest.raises(StepFailed, match="cannot run") as failure:
        await shop.run(step(release), "orders")
    assert "signal 9" in failure.value.detail
    found = await seen(shop, run_of(release))
    assert found is not None
    assert (found.state, found.status) == (RunState.INTERRUPTED, 137)


async def test_one_that_takes_too_long_is_ended_with_all_that_it_started(shop: World) -> None:
    """It failed, and may run again."""
    child = shop.root / "child"
    stubborn = f"""sh -c 'trap "" TERM; echo $$ > {child}; sleep 60' &"""
    release = shop.add("orders", before=Hook(f"{stubborn} {waiting(shop)}", timeout=1500), grace=100)
    task = asyncio.create_task(shop.run(step(release), "orders"))
    pid = await pid_of(shop)
    with pytest.raises(StepFailed, match="cannot run") as failure:
        await task
    assert "did not end within 1.5 s" in failure.value.detail
    assert failure.value.log == ("begun",)
    assert await state(shop, run_of(release)) is RunState.FAILED
    assert not alive(pid)
    assert not alive(int(child.read_text()))


async def test_undo_runs_as_the_run_did_and_with_its_files(shop: World) -> None:
    """Its own folder, settings, variables; afterwards nothing is known of the run."""
    old = shop.root / "old"
    old.mkdir()
    (old / "undo.sh").write_text(f"echo $COLOUR > {shop.root}/undone; cat $TIDEGATE_SETTINGS >> {shop.root}/undone\n")
    settings = digest_bytes("settings", b"{}\n")
    shop.blobs[settings] = b"{}\n"
    release = shop.add("orders", folder="old", before=Hook("true", undo="sh undo.sh"))
    pin = Pin(release.digest, settings, Shape(env=(("COLOUR", "blue"),)))
    await shop.run(Run(run_of(release), pin), "orders")
    await shop.run(Revert(run_of(release), pin), "orders")
    assert (shop.root / "undone").read_text() == "blue\n{}\n"
    assert await seen(shop, run_of(release)) is None
    assert list((shop.state / "environments").rglob("*.settings.json")) == []


async def test_undo_waits_for_the_run_and_asks_when_it_was_ended_in_the_middle_itself(shop: World) -> None:
    """Then what the run did may be there by half; to say that it ran takes it back again."""
    undo = f"test -e {shop.root}/well || kill -9 $$"
    release = shop.add("orders", before=Hook(waiting(shop), undo=undo))
    running = asyncio.create_task(shop.run(step(release), "orders"))
    await pid_of(shop)
    undoing = asyncio.create_task(shop.run(Revert(run_of(release), step(release).pin), "orders"))
    (shop.root / "go").touch()
    await running
    with pytest.raises(StepFailed, match="cannot undo `before` of orders") as failure:
        await undoing
    assert "--not-ran orders" in failure.value.hint
    assert await state(shop, run_of(release)) is RunState.INTERRUPTED
    with pytest.raises(StepFailed, match="cannot undo `before` of orders"):
        await shop.run(Revert(run_of(release), step(release).pin), "orders")
    (shop.root / "well").touch()
    await shop.run(Assume(run_of(release), RunState.DONE), "orders")
    await shop.run(Revert(run_of(release), step(release).pin), "orders")
    assert await state(shop, run_of(release)) is None


async def test_what_was_written_down_and_never_begun_is_not_asked_for(shop: World) -> None:
    """The agent died before it could let the command begin: the shell says so, and ends."""
    release = shop.add("orders", before=Hook(f"echo x >> {shop.root}/ran"))
    note = shop.root / "ran"
    status = status_file(shop, release)
    status.parent.mkdir(parents=True)
    shell = ["/bin/sh", "-c", WRAPPER, "sh", f"touch {note}", str(status)]
    process = await asyncio.to_thread(subprocess.run, shell, stdin=subprocess.DEVNULL, check=False)
    assert (process.returncode, note.exists(), said(status)) == (125, False, NEVER)
    record = RunRecord(run_of(release), pin_to_json(step(release).pin), RunState.RUNNING, pid=1, process="gone")
    Runbook(shop.state / "data" / "dev" / ".runs.json", {record.run: record}).save()
    assert await state(shop, run_of(release)) is None
    await shop.run(step(release), "orders")
    assert note.read_text() == "x\n"


@pytest.mark.gateway
async def test_it_sees_what_users_see_and_its_secrets_are_never_on_disk(shop: World) -> None:
    """Variables, settings, its data, the entries of what it needs; no port. `.runs.json` knows references only."""
    needed = shop.add("catalog")
    group, _ = await shop.start(needed)
    url = (await shop.enter(group))["catalog"]
    release = shop.add("orders", before=Hook("env; echo kept > $DATA/file"), data=True, needs=("catalog", "other"))
    secret = step(release, TOKEN=Secret("env:TOKEN"), COLOUR="blue")
    await shop.run(secret, "orders")
    assert isinstance(shop.target, KeepsOutput)
    env = dict([line.partition("=")[::2] async for line in shop.target.output(run_of(release))])
    assert {name: env.get(name) for name in ("COLOUR", "CATALOG_URL", "TIDEGATE_ENVIRONMENT", "TIDEGATE_RELEASE")} == {
        "COLOUR": "blue",
        "CATALOG_URL": url,
        "TIDEGATE_ENVIRONMENT": "dev",
        "TIDEGATE_RELEASE": short(release.digest),
    }
    assert env["TOKEN"] == "s3cr3t-value"
    assert not env.keys() & {"PORT", "OTHER_URL", "PYTEST_CURRENT_TEST"}
    assert (shop.state / "data" / "dev" / "orders" / "file").read_text() == "kept\n"
    await shop.run(Revert(run_of(shop.add("never", before=Hook("false"))), secret.pin), "never")
    log = shop.state / "logs" / "dev" / f"{run_of(release).name}.log"
    files = [path for path in shop.root.rglob("*") if path.is_file() and path != log]
    assert [path for path in files if b"s3cr3t-value" in path.read_bytes()] == []
    assert "env:TOKEN" in (shop.state / "data" / "dev" / ".runs.json").read_text()


async def test_what_ran_is_known_after_a_plain_down_and_without_an_agent(shop: World) -> None:
    """Only when its data are destroyed may a migration run again."""
    release = shop.add("orders", before=Hook(f"echo x >> {shop.root}/ran"))
    await shop.run(step(release), "orders")
    await shop.down()
    assert not shop.agent()
    assert await state(shop, run_of(release)) is RunState.DONE
    assert not shop.agent()
    await shop.run(step(release), "orders")
    assert (shop.root / "ran").read_text() == "x\n"
    await shop.target.forget("dev", data=True)
    assert await seen(shop, run_of(release)) is None


async def test_of_tasks_the_newest_turn_is_known_and_the_output_of_the_last_twenty(shop: World) -> None:
    """Each turn is another run."""
    release = shop.add("seed", run=f"echo turn >> {shop.root}/turns; wc -l < {shop.root}/turns")
    runs = [run_of(release, RunKind.TASK, turn) for turn in range(1, 24)]
    for run in runs:
        await shop.run(Run(run, step(release).pin), "seed")
    assert list((await shop.target.observe("dev")).runs) == [runs[-1]]
    kept = [run.name for run in runs if [line async for line in shop.target.output(run)]]
    assert kept == [run.name for run in runs[-20:]]
    assert [line async for line in shop.target.output(runs[-1])] == ["23"]


async def test_output_is_followed_from_before_the_beginning_to_the_end(shop: World) -> None:
    """Also the line without an end."""
    release = shop.add("orders", before=Hook(f"{waiting(shop)}; printf 'two\nthree'"))
    lines: list[str] = []

    async def follow() -> None:
        async for line in shop.target.output(run_of(release), follow=True):
            lines.append(line)  # noqa: PERF401 - each as it comes

    following = asyncio.create_task(follow())
    running = asyncio.create_task(shop.run(step(release), "orders"))
    await until(lambda: lines == ["begun"])
    (shop.root / "go").touch()
    await asyncio.gather(following, running)
    assert lines == ["begun", "two", "three"]


async def test_runs_of_one_component_wait_for_each_other(shop: World) -> None:
    """And those of another do not."""
    first = shop.add("orders", "1", before=Hook(f"{waiting(shop)}; echo first >> {shop.root}/order"))
    second = shop.add("orders", "2", before=Hook(f"echo second >> {shop.root}/order"))
    other = shop.add("stock", before=Hook(f"echo other >> {shop.root}/order"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shop.run(step(first), "orders"))
        await pid_of(shop)
        tasks.create_task(shop.run(step(second), "orders"))
        await shop.run(step(other), "stock")
        (shop.root / "go").touch()
    assert (shop.root / "order").read_text().split() == ["other", "first", "second"]


async def test_what_cannot_be_written_down_is_not_begun(shop: World) -> None:
    """Else nobody would know of it after a crash; the next try finds things as they were."""
    release = shop.add("orders", before=Hook(f"echo x >> {shop.root}/ran"))
    await shop.run(Prepare("orders", release.digest), "orders")
    obstacle = shop.state / "data" / "dev" / ".runs.new"
    obstacle.mkdir(parents=True)
    with pytest.raises(StepFailed, match="cannot run `before` of orders") as failure:
        await shop.run(step(release), "orders")
    assert str(obstacle) in failure.value.detail
    assert await seen(shop, run_of(release)) is None
    obstacle.rmdir()
    await shop.run(step(release), "orders")
    assert (shop.root / "ran").read_text() == "x\n"


async def test_a_broken_book_of_runs_is_never_taken_for_an_empty_one(shop: World) -> None:
    """A migration would run twice."""
    folder = shop.state / "data" / "dev"
    folder.mkdir(parents=True)
    (folder / ".runs.json").write_text('{"format": 99, "runs": []}')
    with pytest.raises(TargetError, match="cannot read what is known of runs"):
        await shop.target.observe("dev")
    (folder / ".runs.json").unlink()
