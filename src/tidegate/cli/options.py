"""Arguments and options that several commands share, and how the shell completes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tidegate.manifest import Project


def _project(context: typer.Context) -> Project | None:
    """The project that is being completed in; None where there is none that can be read."""
    from tidegate.errors import TidegateError
    from tidegate.manifest import find_root, load

    folder = context.find_root().params.get("folder")
    try:
        return load(find_root(Path(folder or ".").absolute()))
    except (TidegateError, OSError):
        return None


def _environments(ctx: typer.Context, incomplete: str) -> list[str]:
    project = _project(ctx)
    return [name for name in (project.environments if project else ()) if name.startswith(incomplete)]


def _components(ctx: typer.Context, incomplete: str) -> list[str]:
    project = _project(ctx)
    return [name for name in (project.components if project else ()) if name.startswith(incomplete)]


def _printing(ctx: typer.Context, incomplete: str) -> list[str]:
    project = _project(ctx)
    names = (*project.components, *project.resources) if project else ()
    return [name for name in names if name.startswith(incomplete)]


def _tasks(ctx: typer.Context, incomplete: str) -> list[str]:
    project = _project(ctx)
    components = project.components if project else {}
    return [name for name, each in components.items() if each.kind == "task" and name.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document (see `tidegate schema output`).")]
Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="An environment of tidegate.yaml.", autocompletion=_environments)
]
Environments = Annotated[
    list[str], typer.Argument(metavar="ENV…", help="Environments of tidegate.yaml.", autocompletion=_environments)
]
SomeEnvironments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENV…]", help="Environments; all by default.", autocompletion=_environments),
]
EnvironmentsToTakeDown = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENV…]", help="Environments; none with --all.", autocompletion=_environments),
]
OneEnvironment = Annotated[
    str | None, typer.Option("-e", "--environment", metavar="ENV", help="Which one.", autocompletion=_environments)
]
SomeComponents = Annotated[
    list[str] | None,
    typer.Argument(metavar="[COMPONENT…]", help="Components; all by default.", autocompletion=_components),
]
Printing = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COMPONENT…]", help="Components and resources; all components by default.", autocompletion=_printing
    ),
]
OneComponent = Annotated[
    str | None, typer.Argument(metavar="[COMPONENT]", help="One component.", autocompletion=_components)
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="COMPONENT", help="Only this component; may be repeated.", autocompletion=_components
    ),
]
Ran = Annotated[
    list[str] | None,
    typer.Option(
        "--ran",
        metavar="COMPONENT",
        help="The migration of this component did all it should; may be repeated.",
        autocompletion=_components,
    ),
]
NotRan = Annotated[
    list[str] | None,
    typer.Option(
        "--not-ran",
        metavar="COMPONENT",
        help="The migration of this component did nothing, or what it did is taken back; may be repeated.",
        autocompletion=_components,
    ),
]
Task = Annotated[str, typer.Argument(metavar="TASK", help="A component of kind task.", autocompletion=_tasks)]
WithNeeds = Annotated[bool, typer.Option("--with-needs", help="With --only: also all that those components need.")]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove",
        metavar="COMPONENT",
        help="Take this component out of the environment; may be repeated.",
        autocompletion=_components,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Recorded in the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
