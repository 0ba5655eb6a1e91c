"""Commands that run to their end on this machine: migrations and tasks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.local.worlds import World, alive, until
from tidegate.errors import StepFailed, TargetError
from tidegate.model.address import RunAddress
from tidegate.model.component import Hook, Release, RunKind
from tidegate.model.digest import digest_bytes, short
from tidegate.model.observed import ObservedRun, RunState
from tidegate.model.pins import Pin, Secret, Shape, Value
from tidegate.model.step import Assume, Prepare, Retire, Revert, Run
from tidegate.ports.target import Epoch, KeepsOutput

# ruff: noqa: ASYNC240 - files are looked at, not served
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
    """Cancelled, or overtaken by a younger epoch: whoever asks next waits for it, and it ran once."""
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
    third = asyncio.create_task(shop.run(step(release), "orders", epoch=2))
    (shop.root / "go").touch()
    await third
    assert await seen(shop, run_of(release)) == ObservedRun(run_of(release), RunState.DONE, step(release).pin, 0)
    assert (shop.root / "ran").read_text() == "x\n"


async def state_is(shop: World, release: Release, wanted: RunState) -> bool:
    return await state(shop, run_of(release)) is wanted
