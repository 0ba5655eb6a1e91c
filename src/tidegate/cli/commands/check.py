"""`tidegate check`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import invocation


def check(ctx: typer.Context, json: options.Json = False) -> int:
    """Check all manifests, and say every mistake at once: file, line, column, what is wrong, what was meant.

    Reads tidegate.yaml and every service.yaml, worker.yaml and task.yaml below it. Changes nothing.

    Examples:

      tidegate check

      tidegate -C services/backend check

    Exit status: 0 no mistake, 1 mistakes found, 64 wrong use.
    """
    from tidegate.cli.documents import CheckDocument, CheckedEnvironment
    from tidegate.cli.output import problem_objects, write
    from tidegate.cli.views.console import clean, out
    from tidegate.manifest import find_root, load

    project = load(find_root(invocation(ctx).folder))
    checked = tuple(
        CheckedEnvironment(name, spec.after, tuple(sorted(each.name for each in project.present(name))))
        for name, spec in project.environments.items()
    )
    if json:
        names, notes = tuple(sorted(project.components)), problem_objects(project.notes)
        write(CheckDocument(str(project.root), project.organization, checked, names, notes))
        return 0
    count = len(project.components)
    components = f"{count} component{'' if count == 1 else 's'}"
    out().print(clean(f"{project.organization}: no problem in {components}."), soft_wrap=True)
    if not count:
        out().print(
            "Next: there is no component yet; write a service.yaml, or let `tidegate init` propose it.", soft_wrap=True
        )
        return 0
    for each in checked:
        after = f" (after {', '.join(each.after)})" if each.after else ""
        out().print(f"  {each.environment}{after}: {', '.join(each.components) or 'no components'}", soft_wrap=True)
    for note in project.notes:
        out().print(clean(f"Note: {note}"), soft_wrap=True)
    return 0
