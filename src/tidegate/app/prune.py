"""Prune: take away what nothing pins any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tidegate.app.workspace import Workspace
from tidegate.model.component import Artifact
from tidegate.model.digest import short
from tidegate.model.step import Prepare

KEPT_REVISIONS = 10


@dataclass(frozen=True, slots=True)
class Pruned:
    """An artifact that was (or, in a dry run, would be) removed."""

    component: str
    release: str
    location: str


async def prune(workspace: Workspace, *, dry_run: bool = False) -> list[Pruned]:
    """Remove artifacts of releases that neither run nor are pinned by the last revisions of any environment.

    Goes over every store that an environment of the project has, and over all environments in it, also those of other
    checkouts. What others share goes only then, and so does this machine's copy of it. Of environments that live on
    another machine it is not seen what runs: that has copies of its own there. What commands on this machine are about
    to start is kept, whoever runs them.
    """
    removed: list[Pruned] = []
    for each in workspace.everywhere():
        async with each.artifacts.pruning() as used:
            removed += await _prune(each, used, dry_run=dry_run)
    return removed


async def _prune(workspace: Workspace, used: Collection[str], *, dry_run: bool) -> list[Pruned]:
    kept = await _kept(workspace) | set(used)
    copies = dict(await workspace.artifacts.present())
    removed: dict[str, Pruned] = {}
    for release in await workspace.store.releases():
        if release.digest in kept:
            copies.pop(release.digest, None)
            continue
        known = await workspace.store.artifacts(release.digest)
        found = [artifact for artifact in known if workspace.artifacts.reaches(artifact)]
        copy: list[Artifact] = [copies.pop(release.digest)] if release.digest in copies else []
        for artifact in (*found, *copy):
            if not dry_run:
                await workspace.artifacts.remove(artifact)  # a place that forbids it leaves it known
                if artifact in found:
                    await workspace.store.forget_artifact(artifact)
            removed[artifact.location] = Pruned(release.component, short(release.digest), artifact.location)
    for digest, artifact in copies.items():  # built by a command that died before it said so
        if digest not in kept:
            if not dry_run:
                await workspace.artifacts.remove(artifact)
            removed[artifact.location] = Pruned(_component(artifact), short(digest), artifact.location)
    return list(removed.values())


def _component(artifact: Artifact) -> str:
    """Of what lies at FOLDER/COMPONENT/RELEASE/tree, or at REGISTRY/COMPONENT@DIGEST."""
    name, pinned, _ = artifact.location.rpartition("@")
    return name.rsplit("/", 1)[-1] if pinned else artifact.location.rsplit("/", 3)[1]


async def _kept(workspace: Workspace) -> set[str]:
    """Releases that are pinned or run anywhere in this store, or that somebody is about to start."""
    kept: set[str] = set()
    records = await workspace.store.environments()
    known = {record.name for record in records}
    # a store that somebody emptied knows nothing of what still runs
    for name in (*known, *(each for each in workspace.project.environments if each not in known)):
        own = workspace.at(name)
        if own.kept[0] != workspace.kept[0]:
            continue
        observed = await own.target.observe(name)
        kept.update(group.release for group in observed.groups.values())
    for record in records:
        for revision in await workspace.store.history(record.name, limit=KEPT_REVISIONS):
            kept.update(pin.release for pin in revision.pins.values())
        for claim in record.claims:
            for change in (await workspace.store.plan(claim.plan)).changes:
                kept.update(pin.release for entry in change.pins for pin in (entry.old, entry.new) if pin)
                kept.update(each.step.release for each in change.steps if isinstance(each.step, Prepare))
    return kept
