"""Commands that run to their end: which have to run, and which have to be taken back."""

from __future__ import annotations

from tidegate.errors import RunInterrupted
from tidegate.model.address import RunAddress
from tidegate.model.component import RunKind
from tidegate.model.observed import ObservedRun, RunState
from tidegate.planning.scene import Scene


def address(scene: Scene, name: str, what: RunKind) -> RunAddress:
    """The run of the wanted release of a component."""
    return RunAddress(scene.observed.environment, name, scene.wanted[name].release, what)


def is_due(scene: Scene, name: str, what: RunKind) -> bool:
    """Whether `before` or `after` of the wanted release still has to run.

    A `before` is due only where its group has yet to be born: what runs already has had its migration. An `after`
    that was given up stays so.
    """
    pin = scene.wanted.get(name)
    if pin is None or scene.releases[pin.release].runtime.hook(what) is None:
        return False
    if what is RunKind.BEFORE and name in scene.chosen:
        return False
    known = scene.observed.runs.get(address(scene, name, what))
    ended = {RunState.DONE} if what is RunKind.BEFORE else {RunState.DONE, RunState.ABANDONED}
    return known is None or known.state not in ended


def to_revert(scene: Scene, name: str) -> list[ObservedRun]:
    """Runs of a component that were made for a change which is being undone, and that can be taken back."""
    if not scene.taken_back:
        return []
    return [
        run
        for run in of_undone_change(scene, name)
        if run.state is not RunState.ABANDONED and _undo(scene, run) is not None
    ]


def check_interrupted(scene: Scene, name: str) -> None:
    """Raises `RunInterrupted` if a run that matters now was ended in the middle and may not simply be run again."""
    mattering = of_undone_change(scene, name)
    mattering += [
        known
        for what in (RunKind.BEFORE, RunKind.AFTER)
        if is_due(scene, name, what) and (known := scene.observed.runs.get(address(scene, name, what)))
    ]
    for run in mattering:
        release = scene.releases.get(run.address.release)
        hook = release.runtime.hook(run.address.what) if release else None
        if run.state is RunState.INTERRUPTED and hook is not None and not hook.retry:
            environment = scene.observed.environment
            raise RunInterrupted(
                f"cannot go on with {name}",
                f"`{hook.run}` ({run.address.name}) was ended in the middle, and nobody saw how far it came.",
                hint=f"Look, then say which: `tidegate resume {environment} --ran {name}` or `--not-ran {name}` to go "
                f"on, `tidegate undo {environment} --ran {name}` or `--not-ran {name}` to go back.",
                address=environment,
            )


def of_undone_change(scene: Scene, name: str) -> list[ObservedRun]:
    """Runs of a component that were made for a change which is being undone."""
    return [
        run
        for run in scene.runs.get(name, ())
        if run.address.what is RunKind.BEFORE and run.address.release in scene.taken_back
    ]


def _undo(scene: Scene, run: ObservedRun) -> str | None:
    before = scene.releases[run.address.release].runtime.before
    return before.undo if before else None
