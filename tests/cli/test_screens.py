"""What people see, compared with the files in `golden/`: runs of the real code over a simulated target."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.worlds import World, matches_golden, normal, world, write_project
from tidegate.app.change import Selection, plan_up
from tidegate.app.explain import explain, past_of
from tidegate.app.inspect import history, status
from tidegate.cli.changing import Manner
from tidegate.cli.main import run
from tidegate.cli.views.console import out
from tidegate.cli.views.plan import show_plan
from tidegate.cli.views.tables import environment_lines, history_table
from tidegate.errors import (
    GatewayRefused,
    SecretError,
    StepFailed,
    StoreError,
    TargetUnreachable,
    TidegateError,
    UsageError,
)
from tidegate.execution.claim import LEASE
from tidegate.model.digest import short
from tidegate.model.step import Observe, Retire, Route, Start, Step

Capture = pytest.CaptureFixture[str]
SCREEN = 24  # lines of a small terminal


@pytest.fixture
def anyio_backend() -> str:
    """The product runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All screens are compared at 90 columns."""
    monkeypatch.setenv("COLUMNS", "90")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[World]:
    """A project that was never brought up."""
    async with world(tmp_path) as made:
        yield made


def failing(shop: World, component: str, error: StepFailed, kind: type[Step] = Start) -> None:
    """Let the next new group of a component fail."""

    def fault(step: Step) -> StepFailed | None:
        groups = step.groups if isinstance(step, Observe) else (step.group,) if isinstance(step, Start | Retire) else ()
        young = [group for group in groups if group.component == component and group.born > 1]
        return error if isinstance(step, kind) and young else None

    shop.target.fault = fault


def screen(capture: Capture, shop: World) -> str:
    """Standard error, then standard output, of what was done since the last look."""
    done = capture.readouterr()
    return normal(f"{done.err}---\n{done.out}", shop.root)


@pytest.mark.anyio
async def test_a_first_up_ends_with_a_table_of_addresses(shop: World, capsys: Capture) -> None:
    """Progress goes to standard error, the table to standard output."""
    (course,) = await shop.up("dev")
    assert course.succeeded
    matches_golden("up", screen(capsys, shop))


@pytest.mark.anyio
async def test_nothing_to_do_is_said_with_the_table(shop: World, capsys: Capture) -> None:
    """A second `up` changes nothing, and shows how things stand."""
    await shop.up("dev")
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert course.succeeded
    assert course.applied is None
    matches_golden("nothing", screen(capsys, shop))


@pytest.mark.anyio
async def test_a_failed_health_check_is_explained_on_one_screen(shop: World, capsys: Capture) -> None:
    """Who failed, why, its last lines, what was put back, that nobody noticed, what stays and what to do."""
    await shop.up("dev")
    log = [f"line {number}" for number in range(20)] + ["no \x1b[31m[bold]table\x1b[0m prices\x07"]
    why = StepFailed(
        "cannot start backend",
        "not healthy within 60 s: GET /healthz answered 500",
        component="backend",
        instance="backend-r2.0",
        log=log,
    )
    failing(shop, "backend", why)
    shop.edit("backend", "print('backend 2')\n")
    shop.edit("frontend", "print('frontend 2')\n")
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert not course.succeeded
    text = screen(capsys, shop)
    matches_golden("failed-health", text)
    assert len(text.partition("dev: backend failed")[2].splitlines()) <= SCREEN
    assert "\x1b" not in text
    assert "[bold]table prices" in text


@pytest.mark.anyio
async def test_the_line_that_says_why_is_shown_above_a_stack(shop: World, capsys: Capture) -> None:
    """Node.js prints the error first, then where it was, and empty lines."""
    await shop.up("dev")
    stack = ["    at Module._load (node:internal/modules/cjs/loader:1038:27)"] * 5
    log = ["node:internal", "  throw err;", "  ^", "", "Error: Cannot find module 'x.js'", *stack, "  code: 'E',", "}"]
    why = StepFailed("cannot start backend", "exited with 1", component="backend", log=[*log, "", "Node.js v20.20.2"])
    failing(shop, "backend", why)
    shop.edit("backend", "print('backend 2')\n")
    capsys.readouterr()
    await shop.up("dev")
    text = screen(capsys, shop)
    assert "Error: Cannot find module 'x.js'" in text
    assert len(text.partition("dev: backend failed")[2].splitlines()) <= SCREEN


@pytest.mark.anyio
async def test_sources_outside_of_git_are_told_how_to_leave_the_first_environment(shop: World) -> None:
    """There is nothing to commit to yet."""
    with pytest.raises(TidegateError, match="not committed") as planned:
        await plan_up(shop.workspace, "stage", Selection())
    assert "git init" in planned.value.hint
    with pytest.raises(TidegateError, match="not committed") as released:
        await shop.up("stage")
    assert "git init" in released.value.hint


def test_one_component_is_not_several(tmp_path: Path, capsys: Capture) -> None:
    """`check` counts as people do."""
    (tmp_path / "tidegate.yaml").write_text("organization: acme\nenvironments: {dev: {}}\n")
    (tmp_path / "service.yaml").write_text("name: one\nrun: x\n")
    assert run(["-C", str(tmp_path), "check"]) == 0
    assert "no problem in 1 component." in capsys.readouterr().out


def test_check_tells_what_is_no_mistake_and_worth_a_word(tmp_path: Path, capsys: Capture) -> None:
    """An alias that nobody can use where components are processes: with its place and what to do, in words and data."""
    (tmp_path / "tidegate.yaml").write_text("organization: acme\nenvironments: {dev: {}}\n")
    (tmp_path / "service.yaml").write_text("name: shop\nrun: x\naliases: [sample-app]\n")
    assert run(["-C", str(tmp_path), "check"]) == 0
    assert "Note: service.yaml:3:1: sample-app: nobody can reach shop by this name in dev" in capsys.readouterr().out
    assert run(["-C", str(tmp_path), "check", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert (note["file"], note["line"], note["column"]) == ("service.yaml", 3, 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "part"),
    [
        (GatewayRefused("cannot move traffic", "It did not accept the table."), "the gateway"),
        (TargetUnreachable("cannot reach the agent", "It ended."), "the target"),
        (StoreError("cannot write the store", "The disk is full."), "the store"),
        (SecretError("cannot read a secret", "env:TOKEN is not set."), "the change"),
    ],
)
async def test_what_is_no_fault_of_a_component_blames_none(
    shop: World, capsys: Capture, error: TidegateError, part: str
) -> None:
    """The gateway, the target or the store failed; the components were only put back."""
    await shop.up("dev")
    broken = [error]
    shop.target.fault = lambda step: broken.pop() if broken and isinstance(step, Route) else None
    shop.edit("backend", "print('backend 2')\n")
    shop.edit("frontend", "print('frontend 2')\n")
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert not course.succeeded
    text = screen(capsys, shop)
    assert f"dev: {part} failed; backend, frontend were put back together." in text
    assert error.summary in text


@pytest.mark.anyio
async def test_an_undo_after_the_switch_says_for_how_long_users_met_the_new(shop: World, capsys: Capture) -> None:
    """Traffic goes back to the old groups, and the screen does not pretend that nobody noticed."""
    await shop.up("dev")
    why = StepFailed("cannot keep frontend", "It answered 5xx 31 times of 60.", component="frontend")
    failing(shop, "frontend", why, Observe)
    shop.edit("frontend", "print('frontend 2')\n")
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert not course.succeeded
    assert course.applied is not None
    assert "simulated" in str(shop.target.look("dev").urls)
    matches_golden("undo", screen(capsys, shop))


@pytest.mark.anyio
async def test_an_undo_that_fails_says_that_the_environment_is_unsettled(shop: World, capsys: Capture) -> None:
    """Each step, and that only recovery may change it now."""
    await shop.up("dev")

    def fault(step: Step) -> StepFailed | None:
        if isinstance(step, Start | Retire) and step.group.born > 1:
            return StepFailed(f"cannot reach {step.group.component}", "The target is gone.", component="frontend")
        return None

    shop.target.fault = fault
    shop.edit("frontend", "print('frontend 2')\n")

    # what is started is there although starting it failed, so that undo has to retire it
    take = shop.target.duration
    shop.target.duration = lambda step: (shop.target.take(step, "dev"), take(step))[1] if isinstance(step, Start) else 0
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert not course.succeeded
    matches_golden("unsettled", screen(capsys, shop))


@pytest.mark.anyio
async def test_ctrl_c_puts_everything_back(shop: World, capsys: Capture) -> None:
    """The first Ctrl-C stops what goes forward; the screen says so."""
    await shop.up("dev")
    shop.edit("backend", "print('backend 2')\n")

    def interrupt(step: Step) -> float:
        if isinstance(step, Start):
            os.kill(os.getpid(), signal.SIGINT)
            return 60.0
        return 0.0

    shop.target.duration = interrupt
    before = dict(shop.target.entries)
    capsys.readouterr()
    (course,) = await shop.up("dev")
    assert not course.succeeded
    assert shop.target.entries == before
    matches_golden("stopped", screen(capsys, shop))


@pytest.mark.anyio
async def test_a_plan_shows_releases_settings_and_shape_step_by_step(shop: World, capsys: Capture) -> None:
    """Everything that differs, each step, the peak, and what cannot be undone."""
    await shop.up("dev")
    shop.edit("frontend", "print('frontend 2')\n")
    (shop.root / "backend" / "settings" / "default.json").write_text('{"greeting": "[b]hi", "limits": {"orders": 5}}')
    planned = await plan_up(shop.workspace, "dev", Selection())
    view = explain(planned, await past_of(planned, shop.workspace.store))
    capsys.readouterr()
    show_plan(out(), view, full=True)
    matches_golden("plan", screen(capsys, shop))


@pytest.mark.anyio
async def test_removing_needs_a_yes_where_nobody_can_be_asked(shop: World, capsys: Capture) -> None:
    """Without a terminal nothing goes away unless it was said so."""
    await shop.up("dev")
    with pytest.raises(UsageError, match="without being asked to"):
        await shop.up("dev", remove=("frontend",))
    with pytest.raises(UsageError, match="without being asked to"):
        await shop.down("dev", Manner("take dev down", always_ask=True))
    (course,) = await shop.up("dev", manner=Manner("apply", yes=True), remove=("frontend",))
    assert course.succeeded
    assert course.status is not None
    assert [each.component for each in course.status.components] == ["backend"]
    capsys.readouterr()


@pytest.mark.anyio
async def test_status_and_history_are_tables(shop: World, capsys: Capture) -> None:
    """What runs, what does not, and who changed what, when and why."""
    await shop.up("dev", manner=Manner("apply", why="the first"))
    shop.edit("frontend", "print('frontend 2')\n")
    await shop.up("dev", manner=Manner("apply", why="a [red]new\x1b[31m page"))
    shop.target.crash(shop.target.entries["dev", "backend"], 2)
    capsys.readouterr()
    for found in await status(shop.workspace):
        for line in environment_lines(found):
            out().print(line, soft_wrap=True)
    out().print(history_table(await history(shop.workspace, "dev")), soft_wrap=True)
    matches_golden("status", screen(capsys, shop))


def test_a_typing_error_is_answered_with_what_was_meant(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, options, environments, components and keys of manifests; exit status 64 for wrong use, 1 else."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = []
    for command in ("upp dev", "up dve", "up dev --remov frontend", "up dev --only fronted", "release fronten", "down"):
        lines.append(f"$ tidegate {command}\n")
        assert run(command.split()) == 64
        lines.append(capsys.readouterr().err)
    manifest = tmp_path / "backend" / "service.yaml"
    manifest.write_text("run: x\nreplica: 3\nneeds: [backnd]\n")
    assert run(["check"]) == 1
    lines += ["$ tidegate check\n", capsys.readouterr().err]
    matches_golden("typo", normal("".join(lines), tmp_path))


@pytest.mark.anyio
async def test_who_holds_a_claim_is_said_in_words(shop: World) -> None:
    """Host, process and since when; digests are short, as everywhere."""
    plan = (await plan_up(shop.workspace, "dev", Selection(), build=lambda _: None)).plan
    await shop.workspace.store.put_plan(plan)
    await shop.workspace.store.claim(plan, holder="elsewhere:27442:1893456000.72", lease=LEASE)
    (course,) = await shop.up("dev")
    assert course.error is not None
    said = course.error.detail
    assert "process 27442 on elsewhere, which began 2030-01-01 00:00:00 UTC" in said
    assert plan.digest not in said
    assert short(plan.digest) in said
    found, _ = await status(shop.workspace)
    _, claim, *_ = environment_lines(found)
    assert "being changed by process 27442 on elsewhere" in str(claim)
