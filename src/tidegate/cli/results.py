"""What came of changing environments, as data for `--json`."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.app.explain import in_words
from tidegate.cli.changing import Course
from tidegate.cli.documents import ChangeObject, EnvironmentResult
from tidegate.cli.output import error_object
from tidegate.cli.views.progress import ProgressView
from tidegate.execution import ChangeResult


def results(courses: Sequence[Course], progress: ProgressView) -> tuple[EnvironmentResult, ...]:
    """One result for each environment; `progress` is the view that saw it happen."""
    return tuple(
        EnvironmentResult(
            environment=course.environment,
            plan=course.view,
            recovered=course.recovered,
            changes=tuple(
                _change(course.environment, result, progress)
                for result in (course.applied.changes if course.applied else ())
            ),
            status=course.status,
            error=error_object(course.error) if course.error else None,
            carried_over=course.carried_over[0] if course.carried_over else None,
            data=course.data,
            data_destroyed=course.destroyed,
        )
        for course in courses
    )


def _change(environment: str, result: ChangeResult, progress: ProgressView) -> ChangeObject:
    switches = progress.switches.get((environment, result.change.number))
    seconds = switches.seconds if switches else None
    return ChangeObject(
        components=result.change.components,
        fate=result.fate.value,
        revision=result.revision.name if result.revision else "",
        failure=error_object(result.failure) if result.failure else None,
        put_back=tuple(in_words(planned.step) for planned in result.put_back),
        switched_seconds=None if seconds is None else round(seconds, 3),
        unfinished=error_object(result.unfinished) if result.unfinished else None,
    )
