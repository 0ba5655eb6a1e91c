"""Prune: take away what nothing pins any more."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.app.workspace import Workspace
from tidegate.model.digest import short

KEPT_REVISIONS = 10


@dataclass(frozen=True, slots=True)
class Pruned:
    """An artifact that was (or, in a dry run, would be) removed."""

    component: str
    release: str
    location: str


async def prune(workspace: Workspace, *, dry_run: bool = False) -> list[Pruned]:
    """Remove artifacts of releases that neither run nor are pinned by the last revisions of any environment."""
    kept: set[str] = set()
    for record in await workspace.store.environments():
        for revision in await workspace.store.history(record.name, limit=KEPT_REVISIONS):
            kept.update(pin.release for pin in revision.pins.values())
        observed = await workspace.target.observe(record.name)
        kept.update(group.release for group in observed.groups.values())
        for claim in record.claims:  # somebody is about to start these
            for change in (await workspace.store.plan(claim.plan)).changes:
                kept.update(pin.new.release for pin in change.pins if pin.new)
    removed = []
    for release in await workspace.store.releases():
        if release.digest in kept:
            continue
        for artifact in await workspace.store.artifacts(release.digest):
            if not dry_run:
                await workspace.store.forget_artifact(artifact)
                await workspace.artifacts.remove(artifact)
            removed.append(Pruned(release.component, short(release.digest), artifact.location))
    return removed
