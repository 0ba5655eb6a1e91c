"""Guards: what is refused however it was asked for."""

from __future__ import annotations

from collections.abc import Collection

from tidegate.errors import UnsafePlan
from tidegate.model.digest import short
from tidegate.planning.runs import check_interrupted, of_undone_change
from tidegate.planning.scene import Scene


def check(scene: Scene, differing: Collection[str], *, allow_dirty: bool) -> None:
    """Raises `UnsafePlan`."""
    for name in sorted({*differing, *(name for name in scene.runs if of_undone_change(scene, name))}):
        check_interrupted(scene, name)
    for name in sorted(differing):
        _nobody_is_left_without(scene, name)
        pin = scene.wanted.get(name)
        if pin is None:
            continue
        release = scene.releases[pin.release]
        for need in release.runtime.needs:
            if need not in scene.wanted:
                raise UnsafePlan(
                    f"cannot run {name} without {need}",
                    f"{name} needs {need}, which is not in {scene.observed.environment}.",
                    hint=f"Take it along: --only {name} --with-needs.",
                )
        if release.dirty and not allow_dirty and scene.current.get(name) != pin:
            raise UnsafePlan(
                f"cannot bring release {short(release.digest)} of {name} into {scene.observed.environment}",
                "It was made from sources that are not committed; such a release never leaves the first environment.",
                hint="Commit, then try again." if release.commit else "Put it under git (git init), and commit.",
            )


def _nobody_is_left_without(scene: Scene, name: str) -> None:
    if name in scene.wanted:
        return
    users = sorted(other for other, pin in scene.wanted.items() if name in scene.needs(pin))
    if users:
        raise UnsafePlan(
            f"cannot remove {name}",
            f"{', '.join(users)} still need{'s' if len(users) == 1 else ''} it.",
            hint=f"Remove {', '.join(users)} as well.",
        )
