"""A folder of Kubernetes YAML -> a proposal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tidegate.discovery.existing import names_below, project_above
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.files import Where, component_yaml, is_pinned, tidegate_yaml
from tidegate.discovery.kubernetes.network import connect, read_needs
from tidegate.discovery.kubernetes.objects import Folder, read_objects
from tidegate.discovery.kubernetes.pods import read_health, read_pod_resources, read_volumes
from tidegate.discovery.kubernetes.rest import say_the_rest
from tidegate.discovery.kubernetes.variables import read_variables, references, sources_of
from tidegate.discovery.kubernetes.workloads import drafts_of, read_command
from tidegate.discovery.proposal import Proposal
from tidegate.errors import Problem, TidegateError
from tidegate.manifest.component import FILES
from tidegate.manifest.organization import FILE as TIDEGATE_YAML


@dataclass(frozen=True)
class Imported:
    """A folder that was read. `images` are those that no digest pins yet, as written, sorted; `left` is what cannot be
    carried over, sorted by file and line."""

    drafts: tuple[Draft, ...]
    images: tuple[str, ...]
    left: tuple[Problem, ...]
    unknown: tuple[str, ...]
    found: tuple[str, ...]
    root: Path
    above: Path | None
    described: frozenset[str]

    def proposal(self, where: Where, digests: Mapping[str, str]) -> Proposal:
        """The manifests; `digests`: image -> `sha256:…`. An image without one is written as it is, and `tidegate check`
        then says where. Nothing is proposed in the place of a manifest that is there."""
        unknown = list(self.unknown)
        files: list[tuple[str, str, str]] = []
        for draft in self.drafts:
            folder = draft.name
            if folder in self.described:
                unknown.append(f"{folder} has a manifest already, and is left as it is: {draft.workload.place} is not "
                               "imported.")  # fmt: skip
                continue
            why = f"from {draft.workload.kind} {draft.workload.name}, {draft.workload.place}"
            files.append((draft.file, component_yaml(draft, digests), why))
        if self.above is not None:
            there = self.above / TIDEGATE_YAML
            unknown.append(f"{there} is above: what is proposed here becomes part of that project. {_in_it(where)}")
        elif (self.root / TIDEGATE_YAML).exists():
            unknown.append(f"{TIDEGATE_YAML} exists already and is left as it is. {_in_it(where)}")
        else:
            text = tidegate_yaml(self.root.name, where)
            files.insert(0, (TIDEGATE_YAML, text, "the organization and one environment on Kubernetes"))
        return Proposal(tuple(files), tuple(dict.fromkeys(unknown)), self.found)


def import_folder(folder: Path, root: Path) -> Imported:
    """Read all Kubernetes objects in `folder`, for a project in `root`. Raises `ManifestError` with every file that is
    not YAML, `TidegateError` where no workload is."""
    root = root.resolve()
    shown = folder.as_posix()
    found = read_objects(root / folder, shown)
    above = None if (root / TIDEGATE_YAML).exists() else project_above(root)
    existing = names_below(above or root)
    described = frozenset(place.parent.name for file in FILES for place in root.glob(f"*/{file}"))
    drafts = drafts_of(found, (existing.services | existing.others) - described)
    if not drafts:
        raise _nothing(found, shown)
    leads = connect(found, drafts)
    sources = sources_of(found)
    for draft in drafts:
        read_variables(draft, sources)
        read_command(draft)
        read_health(draft)
        read_pod_resources(draft)
        read_volumes(draft, found, sources)
    unknown = [*read_needs(drafts, leads), *_unknown(drafts, found)]
    say_the_rest(found, sources)
    images = tuple(sorted({draft.image for draft in drafts if not is_pinned(draft.image)}))
    return Imported(
        tuple(sorted(drafts, key=lambda draft: draft.name)),
        images,
        tuple(sorted(set(found.left))),
        tuple(unknown),
        found.files,
        root,
        above,
        described,
    )


def _in_it(where: Where) -> str:
    return f"Give it an environment with {where.target()}; with several teams, add team: to each new manifest."


def _nothing(found: Folder, shown: str) -> TidegateError:
    said = "\n".join(str(problem) for problem in sorted(found.left))
    kinds = ", ".join(sorted({each.kind for each in found.objects}))
    detail = "There is no Deployment, StatefulSet, Job or CronJob in it" + (f", but {kinds}." if kinds else ".")
    return TidegateError(
        f"cannot import {shown}",
        f"{detail}\n{said}".strip(),
        hint="Name the folder that holds the YAML of your workloads.",
    )


def _unknown(drafts: Sequence[Draft], found: Folder) -> list[str]:
    """What concerns several components at once."""
    unknown = []
    secrets = sorted({name for draft in drafts for name in references(draft)})
    if secrets:
        unknown.append(
            f"These Secrets have to be in the namespace of the environment before `tidegate up`: {', '.join(secrets)}."
        )
    spaces = sorted({each.namespace for each in found.objects if each.namespace})
    if spaces:
        unknown.append(
            f"The files name the namespace {', '.join(spaces)}: an environment has one of its own. What runs there "
            "now stays until you delete it."
        )
    unknown.extend(
        f"`tidegate check` takes {file} for a manifest of its own: give it another name, or move it out of the project."
        for file in found.files
        if PurePosixPath(file).name in FILES and not file.startswith(("/", ".."))
    )
    workers = [draft.name for draft in drafts if draft.kind == "worker"]
    if workers:
        unknown.append(
            f"Without a port, {', '.join(workers)} became a worker: its old instances stop before new ones start."
        )
    unbounded = [draft.name for draft in drafts if "memory" not in draft.limits]
    if unbounded:
        unknown.append(
            f"{', '.join(unbounded)}: no limit of memory is written, so an instance gets 512Mi; "
            "write kubernetes: {resources: {limits: …}} where that is too little."
        )
    unknown.append(
        "Instances are not root, and their files are read-only but for /tmp: name other folders that they write to "
        "under kubernetes: {writable: […]}."
    )
    return unknown
