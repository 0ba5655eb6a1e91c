"""Releases: named by their inputs, built once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anyio

from tidegate.app.workspace import Workspace
from tidegate.errors import TidegateError, UsageError
from tidegate.manifest import ComponentSpec
from tidegate.model.component import Release, release_digest
from tidegate.ports.builder import Recipe

AT_ONCE = 2  # builds side by side: they mostly wait for compilers and downloads that are parallel themselves


class BuildMoment(StrEnum):
    """What happened to a build."""

    BEGUN = "begun"
    LINE = "line"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """`text` is the printed line for LINE, "" otherwise."""

    component: str
    moment: BuildMoment
    text: str = ""


BuildReporter = Callable[[BuildProgress], None]


@dataclass(frozen=True, slots=True)
class Released:
    """A release of this checkout; `built` says whether it was built just now, `seconds` how long that took."""

    release: Release
    built: bool
    seconds: float = 0.0


async def name_releases(workspace: Workspace, components: Sequence[str] = ()) -> dict[str, Release]:
    """Component -> the release that its sources are now, without building anything. All components by default."""
    specs = _specs(workspace, components)
    states = await workspace.builder.read([_recipe(spec) for spec in specs])
    releases = {}
    for spec in specs:
        state = states[spec.name]
        releases[spec.name] = Release(
            digest=release_digest(
                component=spec.name, kind=spec.kind, build=spec.build, runtime=spec.runtime, sources=state.digest
            ),
            component=spec.name,
            kind=spec.kind,
            team=spec.team,
            runtime=spec.runtime,
            commit=state.commit,
            dirty=state.dirty,
            by=workspace.actor,
            at=workspace.clock.now(),
        )
    return releases


async def refuse_as_source(workspace: Workspace, file: Path, better: str) -> None:
    """Raises `UsageError`, with the `better` place, if a file written here would make new releases by itself."""
    for spec in _specs(workspace, ()):
        if await workspace.builder.counts(_recipe(spec), file):
            raise UsageError(
                f"cannot write {file.name} there",
                f"It would become one of the sources of {spec.name}, and so change what is released.",
                hint=f"Write it to {better}, or name it in .gitignore.",
            )


async def make_releases(
    workspace: Workspace, releases: Mapping[str, Release], report: BuildReporter
) -> dict[str, Released]:
    """Build those that have no artifact yet, and record all of them. Raises the first `BuildFailed`."""
    present = set(await workspace.artifacts.present())
    done: dict[str, Released] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def make(release: Release) -> None:
        begun = workspace.clock.now()
        missing = release.digest not in present
        if missing or not await workspace.store.artifacts(release.digest):
            async with limit:
                await _build(workspace, release, report)
        kept = await workspace.store.put_release(release)
        done[release.component] = Released(kept, missing, workspace.clock.now() - begun if missing else 0.0)

    failures: list[TidegateError] = []

    async def attempt(release: Release) -> None:
        try:
            await make(release)
        except TidegateError as error:
            failures.append(error)
            report(BuildProgress(release.component, BuildMoment.FAILED))
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for release in releases.values():
            group.start_soon(attempt, release)
    if failures:
        raise failures[0]
    return {name: done[name] for name in releases}


async def _build(workspace: Workspace, release: Release, report: BuildReporter) -> None:
    spec = workspace.project.components[release.component]
    report(BuildProgress(spec.name, BuildMoment.BEGUN))
    artifact = await workspace.builder.build(
        _recipe(spec), release.digest, lambda text: report(BuildProgress(spec.name, BuildMoment.LINE, text))
    )
    for former in await workspace.store.artifacts(release.digest):
        if former.location == artifact.location and former.digest != artifact.digest:
            await workspace.store.forget_artifact(former)  # it was damaged; a build need not give the same bytes twice
    await workspace.store.put_artifact(artifact)
    report(BuildProgress(spec.name, BuildMoment.DONE))


def _specs(workspace: Workspace, components: Sequence[str]) -> list[ComponentSpec]:
    workspace.check_components(tuple(components))
    known = workspace.project.components
    return [known[name] for name in sorted(components or known)]


def _recipe(spec: ComponentSpec) -> Recipe:
    exclude = (spec.manifest, spec.settings) if spec.settings else (spec.manifest,)
    return Recipe(spec.name, spec.sources, exclude, spec.runtime.folder, spec.build)
