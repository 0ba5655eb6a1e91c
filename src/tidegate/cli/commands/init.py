"""`tidegate init`."""

from __future__ import annotations

import typer

from tidegate.cli import options
from tidegate.cli.session import confirm, invocation, refuse_without_terminal
from tidegate.errors import TidegateError


def init(
    ctx: typer.Context, yes: options.Yes = False, dry_run: options.DryRun = False, json: options.Json = False
) -> int:
    """Propose manifests for the project in this folder.

    Reads compose.yaml, Procfile, Dockerfile, package.json, pyproject.toml, requirements.txt and manage.py here and
    below, shows the files it would write and what it could not find out, and asks. Never overwrites a file.

    Examples:

      tidegate init --dry-run     only show

      tidegate init

      tidegate init --yes         in scripts

    Exit status: 0 written or shown, 1 not possible or not confirmed, 64 wrong use.
    """
    from tidegate.cli.documents import InitDocument, ProposedFileObject
    from tidegate.cli.output import write as write_document
    from tidegate.cli.views.console import err, interactive, out
    from tidegate.cli.views.proposal import show_next, show_proposal
    from tidegate.discovery import propose, write

    root = invocation(ctx).folder
    proposal = propose(root)
    wanted = bool(proposal.files) and not dry_run
    if not json:
        show_proposal(out() if dry_run else err(), proposal)
    if wanted and not yes:
        if json or not interactive():
            raise refuse_without_terminal("write these files")
        if not confirm(f"Write {'these files' if len(proposal.files) > 1 else 'this file'}?"):
            raise TidegateError("cannot go on: not confirmed", "Nothing was written.")
    if wanted:
        write(proposal, root)
    if json:
        files = tuple(ProposedFileObject(path, text, why) for path, text, why in proposal.files)
        write_document(InitDocument(files, proposal.found, proposal.unknown, wanted))
    else:
        show_next(out(), proposal, written=wanted)
    return 0
