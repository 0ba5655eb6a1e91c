"""An error as people see it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.console import clean
from tidegate.errors import ManifestError, TidegateError


def show_error(console: Console, error: TidegateError) -> None:
    """What did not work, why, and what to do about it; all problems of manifests, each with its place."""
    if isinstance(error, ManifestError):
        for problem in error.problems:
            console.print(
                Text.assemble(
                    (clean(f"{problem.file}:{problem.line}:{problem.column}: "), "bold"), clean(problem.message)
                ),
                soft_wrap=True,
            )
            if problem.hint:
                console.print(Text(f"    {clean(problem.hint)}", style="cyan"), soft_wrap=True)
        console.print(Text.assemble(("Error: ", "bold red"), error.summary))
        return
    console.print(error_text(error), soft_wrap=True)


def error_text(error: TidegateError) -> Text:
    """`Error: SUMMARY`, then the detail and the hint, each on lines of its own."""
    head = f"{error.address}: {error.summary}" if error.address else error.summary
    text = Text.assemble(("Error: ", "bold red"), clean(head))
    for line in clean(error.detail).splitlines():
        text.append(f"\n  {line}")
    if error.hint:
        hint = clean(error.hint).replace("\n", "\n  ")
        text.append(f"\n  Hint: {hint}", style="cyan")
    return text
