"""`tidegate import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli import options
from tidegate.cli.session import confirm, invocation, refuse_without_terminal
from tidegate.errors import TidegateError, UsageError


def import_(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder or file with the Kubernetes YAML.")],
    environment: Annotated[
        str, typer.Option("--environment", "-e", metavar="ENV", help="What the environment is called.")
    ] = "dev",
    context: Annotated[
        str,
        typer.Option("--context", metavar="NAME", help="Its context of the kubeconfig; by default the current one."),
    ] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", help="Its namespace; ORGANIZATION-ENV by default.")
    ] = "",
    registry: Annotated[
        str, typer.Option("--registry", metavar="ADDRESS", help="Where its images lie; by default as the cluster says.")
    ] = "",
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> int:
    """Propose manifests that mean the same as the Kubernetes YAML of a folder.

    Reads Deployments, StatefulSets, Jobs and CronJobs with their Services, Ingresses, ConfigMaps, autoscalers and
    volume claims. Shows the files it would write, one line for each thing that cannot be carried over, and asks. Looks
    up in the registries which digests the tags of images mean now. Asks no cluster, reads no secret, never overwrites a
    file.

    Examples:

      tidegate import k8s --dry-run             only show

      tidegate import k8s

      tidegate import k8s -e prod --context prod-eu --yes

    Exit status: 0 written or shown, 1 not possible or not confirmed, 64 wrong use.
    """
    import anyio

    from tidegate.cli.documents import ImportDocument, ProblemObject, ProposedFileObject, UnpinnedObject
    from tidegate.cli.output import write as write_document
    from tidegate.cli.views.console import err, interactive, out
    from tidegate.cli.views.imported import show_imported, show_next
    from tidegate.composition.registries import image_digests
    from tidegate.discovery import write
    from tidegate.discovery.kubernetes import Where, current_context, import_folder
    from tidegate.manifest.fields import NAME, NAME_RULE

    if not NAME.fullmatch(environment):
        raise UsageError(f"an environment cannot be called {environment}", NAME_RULE)
    root = invocation(ctx).folder
    imported = import_folder(source, root)
    lookup = anyio.run(image_digests, imported.images)
    where = Where(environment, context or current_context(), namespace, registry)
    proposal = imported.proposal(where, lookup.digests)
    wanted = bool(proposal.files) and not dry_run
    if not json:
        show_imported(out() if dry_run else err(), proposal, imported.left, lookup.failures)
    if wanted and not yes:
        if json or not interactive():
            raise refuse_without_terminal("write these files")
        if not confirm("Write these files?"):
            raise TidegateError("cannot go on: not confirmed", "Nothing was written.")
    if wanted:
        write(proposal, root)
    if json:
        write_document(
            ImportDocument(
                files=tuple(ProposedFileObject(path, text, why) for path, text, why in proposal.files),
                found=proposal.found,
                left=tuple(ProblemObject(p.file, p.line, p.column, p.message, p.hint) for p in imported.left),
                unpinned=tuple(UnpinnedObject(image, why) for image, why in sorted(lookup.failures.items())),
                unknown=proposal.unknown,
                written=wanted,
            )
        )
    else:
        show_next(out(), proposal, environment, written=wanted, unpinned=bool(lookup.failures))
    return 0
