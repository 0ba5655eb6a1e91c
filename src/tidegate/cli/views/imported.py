"""What `import` proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.console import clean
from tidegate.cli.views.proposal import show_proposal
from tidegate.discovery import Proposal
from tidegate.errors import Problem


def show_imported(console: Console, proposal: Proposal, left: Sequence[Problem], unpinned: Mapping[str, str]) -> None:
    """The files with their content, what is to be decided, what is not carried over, which images are not pinned."""
    show_proposal(console, proposal)
    if left:
        console.print(Text("\nNot carried over, or different here:", style="bold yellow"))
    for problem in left:
        place = f"{problem.file}:{problem.line}:{problem.column}: "
        line = Text.assemble("  ", (clean(place), "bold"), clean(problem.message))
        if problem.hint:
            line.append(f" {clean(problem.hint)}" if line.plain.endswith((".", "!")) else f". {clean(problem.hint)}")
        console.print(line, soft_wrap=True)
    if unpinned:
        console.print(Text("\nNot pinned by a digest, so that `tidegate check` refuses them:", style="bold yellow"))
    for image, why in sorted(unpinned.items()):
        console.print(Text(f"  - {clean(image)}: {clean(why)}"), soft_wrap=True)
        hint = f"`docker buildx imagetools inspect {image}` or `skopeo inspect docker://{image}` print its digest"
        console.print(Text(f"    {clean(hint)}: write image: {clean(image)}@sha256:…", style="cyan"), soft_wrap=True)


def show_next(console: Console, proposal: Proposal, environment: str, *, written: bool, unpinned: bool) -> None:
    """What was done, and which commands come next."""
    if not proposal.files:
        console.print(Text("Nothing to write: every manifest that could be proposed is there already."))
        return
    if not written:
        console.print(Text("\nNothing was written. `tidegate import` without --dry-run writes these files."))
        return
    console.print(Text(f"Wrote {', '.join(clean(path) for path, _, _ in proposal.files)}."), soft_wrap=True)
    pin = "\n  pin the images that are named above" if unpinned else ""
    steps = f"Next:{pin}\n  tidegate check\n  tidegate plan {environment}\n  tidegate up {environment}"
    console.print(Text(clean(steps), style="cyan"))
