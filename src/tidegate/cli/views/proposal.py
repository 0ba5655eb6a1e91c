"""What `init` proposes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tidegate.cli.views.console import clean
from tidegate.discovery import Proposal

NO_COMPONENT = "there is no component yet; write a service.yaml with run: beside your code, then `tidegate check`."


def show_proposal(console: Console, proposal: Proposal) -> None:
    """What was found, the files with their content, and what could not be found out."""
    for found in proposal.found:
        console.print(Text(f"found    {clean(found)}", style="dim"), soft_wrap=True)
    for path, text, why in proposal.files:
        console.print()
        console.print(Text.assemble((clean(path), "bold"), (f"   {clean(why)}" if why else "", "dim")), soft_wrap=True)
        for line in clean(text).splitlines():
            console.print(Text(f"  {line}"), soft_wrap=True)
    if proposal.unknown:
        console.print()
        console.print(Text("To be decided by you:", style="bold yellow"))
        for unknown in proposal.unknown:
            console.print(Text(f"  - {clean(unknown)}"), soft_wrap=True)


def show_next(console: Console, proposal: Proposal, *, written: bool) -> None:
    """What was done, and which commands come next."""
    if not proposal.files:
        console.print(Text("Nothing to write: every manifest that could be proposed is there already."))
    elif written:
        console.print(Text(f"Wrote {', '.join(clean(path) for path, _, _ in proposal.files)}."), soft_wrap=True)
    else:
        console.print(Text("\nNothing was written. `tidegate init` writes these files."))
        return
    if proposal.empty:
        console.print(Text(f"Next: {NO_COMPONENT}", style="cyan"), soft_wrap=True)
        return
    console.print(Text("Next:\n  tidegate check\n  tidegate plan dev\n  tidegate up dev", style="cyan"))
