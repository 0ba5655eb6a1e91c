"""Releases: named by their inputs, built once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anyio

from tidegate.app.workspace import Workspace
from tidegate.errors import NotInStore, ReleaseError, TidegateError, UsageError
from tidegate.manifest import ComponentSpec
from tidegate.model.component import Artifact, Release, release_digest
from tidegate.model.digest import short
from tidegate.ports.builder import Recipe

AT_ONCE = 2  # builds side by side: they mostly wait for compilers and downloads that are parallel themselves
ASKED_AT_ONCE = 8  # places looked at side by side: they may be a network away


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
                component=spec.name,
                kind=spec.kind,
                build=spec.build,
                runtime=spec.runtime,
                sources=state.digest,
                image=spec.image,
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


async def unbuilt(workspace: Workspace, releases: Mapping[str, Release]) -> tuple[str, ...]:
    """The components whose release would have to be built before it can run here. No file is compared yet."""
    missing: list[str] = []
    failures: list[TidegateError] = []
    limit = anyio.CapacityLimiter(ASKED_AT_ONCE)

    async def look(release: Release) -> None:
        try:
            artifact = await _artifact(workspace, release)
            async with limit:
                if artifact is None or not await workspace.artifacts.available(artifact):
                    missing.append(release.component)
        except TidegateError as error:
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for release in releases.values():
            group.start_soon(look, release)
    if failures:
        raise failures[0]
    return tuple(name for name in releases if name in missing)


async def make_releases(
    workspace: Workspace, releases: Mapping[str, Release], report: BuildReporter
) -> dict[str, Released]:
    """Build those that have no artifact yet, and record all of them. Raises the first `BuildFailed`, and `ReleaseError`
    for one that was built where nobody here can get it."""
    await workspace.artifacts.use([release.digest for release in releases.values()])
    wanting = await unbuilt(workspace, releases)
    present = await workspace.artifacts.present()
    done: dict[str, Released] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def make(release: Release) -> None:
        begun = workspace.clock.now()
        missing = release.component in wanting
        if missing:
            await _refuse_elsewhere(workspace, release)
            async with limit:
                await _build(workspace, release, report)
        kept = await workspace.store.put_release(release)
        built = missing and release.digest not in present
        done[release.component] = Released(kept, built, workspace.clock.now() - begun if built else 0.0)

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


def where_releases_enter(workspace: Workspace) -> Workspace:
    """The workspace of the first environment that comes after no other: what is released is for it first."""
    first = next((name for name, spec in workspace.project.environments.items() if not spec.after), None)
    return workspace if first is None else workspace.at(first)


async def _artifact(workspace: Workspace, release: Release) -> Artifact | None:
    """What the store knows that this machine could run."""
    return workspace.artifacts.choose(await workspace.store.artifacts(release.digest))


async def _refuse_elsewhere(workspace: Workspace, release: Release) -> None:
    """A second artifact of the same release would not be the one that was tried elsewhere."""
    artifact = await _artifact(workspace, release)
    if artifact is None or not workspace.shared or workspace.artifacts.shares or workspace.artifacts.reaches(artifact):
        return
    name = release.component
    try:
        by = f" by {(await workspace.store.release(release.digest)).by}"
    except NotInStore:  # that command was interrupted before it put its name to it
        by = ""
    raise ReleaseError(
        f"cannot release {name}",
        f"Release {short(release.digest)} was built{by} and lies there alone: {artifact.location}",
        hint="Share artifacts: in tidegate.yaml, let `artifacts:` be a folder or an s3://BUCKET/PREFIX that all reach; "
        f"then run there: tidegate release {name}",
        address=name,
    )


async def _build(workspace: Workspace, release: Release, report: BuildReporter) -> None:
    store, artifacts = workspace.store, workspace.artifacts
    spec = workspace.project.components[release.component]
    report(BuildProgress(spec.name, BuildMoment.BEGUN))
    artifact = await workspace.builder.build(
        _recipe(spec), release.digest, lambda text: report(BuildProgress(spec.name, BuildMoment.LINE, text))
    )
    former = await _artifact(workspace, release)
    if former is not None and former != artifact and not await artifacts.available(former):
        await store.forget_artifact(former)  # damaged or gone; a build need not give the same bytes twice
    kept = await store.put_artifact(artifact)
    if kept.location != artifact.location:
        await artifacts.remove(artifact)  # somebody built it at the same time and was first; theirs is used
    report(BuildProgress(spec.name, BuildMoment.DONE))


def _specs(workspace: Workspace, components: Sequence[str]) -> list[ComponentSpec]:
    workspace.check_components(tuple(components))
    known = workspace.project.components
    return [known[name] for name in sorted(components or known)]


def _recipe(spec: ComponentSpec) -> Recipe:
    exclude = (spec.manifest, spec.settings) if spec.settings else (spec.manifest,)
    return Recipe(spec.name, spec.sources, exclude, spec.runtime.folder, spec.build, spec.image)
