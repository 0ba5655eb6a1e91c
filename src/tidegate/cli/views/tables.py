"""Tables: status, history, releases, what was built, what was pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from tidegate.app.inspect import (
    ComponentStatus,
    EnvironmentStatus,
    PinDifference,
    ReleaseLine,
    ResourceStatus,
    RevisionLine,
    RunStatus,
)
from tidegate.app.prune import Pruned
from tidegate.app.release import Released
from tidegate.cli.views.console import clean
from tidegate.cli.views.hanging import claim_lines
from tidegate.cli.views.listing import Listing
from tidegate.model.component import Kind
from tidegate.model.digest import short

_STATES = {
    "running": "green",
    "ready": "green",
    "healthy": "green",
    "done": "green",
    "moving": "cyan",
    "degraded": "yellow",
    "starting": "yellow",
    "interrupted": "bold red",
    "crash-looping": "bold red",
    "unsettled": "bold red",
    "failed": "red",
    "absent": "red",
    "unpinned": "magenta",
}


def environment_lines(status: EnvironmentStatus, *, brief: bool = False) -> list[RenderableType]:
    """One environment: its heading, what is wrong with it, its components, its resources, what was run.

    `brief`: without the steps of unsettled changes.
    """
    revision = status.revision or ("" if status.problem else "never brought up")
    head = Text.assemble((status.environment, "bold"), f"  {revision}")
    lines: list[RenderableType] = [head]
    if status.problem:
        problem = "\n    ".join(clean(line) for line in status.problem.splitlines())
        lines.append(Text(f"  cannot be seen: {problem}", style="bold red"))
    for claim in status.claims:
        lines += claim_lines(status, claim, brief=brief)
    if status.components:
        lines.append(components_table(status.components))
    elif status.revision and not status.problem:
        lines.append(Text("  nothing runs here"))
    if status.resources:
        lines.append(resources_table(status.resources))
    if status.runs:
        lines.append(runs_table(status.runs))
    return lines


def components_table(components: Sequence[ComponentStatus]) -> Listing:
    """Component, state, release, healthy instances, address."""
    rows: list[Sequence[str | Text]] = []
    for each in components:
        state = _state(each.state, sum(instance.restarts for instance in each.instances))
        release = each.release + (" dirty" if each.dirty and each.commit else "")
        healthy = "-" if each.kind == Kind.TASK else f"{each.healthy}/{each.replicas}"
        rows.append((each.component, state, release, healthy, each.address or each.kind))
    return Listing(("component", "state", "release", "healthy", "address"), rows)


def resources_table(resources: Sequence[ResourceStatus]) -> Listing:
    """What the environment runs for its components: resource, state, address."""
    rows = [(each.name, _state(each.state, each.restarts), clean(each.url)) for each in resources]
    return Listing(("resource", "state", "address"), rows)


def runs_table(runs: Sequence[RunStatus]) -> Listing:
    """The last run of each task, and migrations that did not end well."""
    rows = []
    for each in runs:
        status = "-" if each.status is None else str(each.status)
        rows.append((each.name, _state(each.state), each.component, each.what, status))
    return Listing(("run", "state", "of", "what", "exit status"), rows)


def _state(state: str, restarts: int = 0) -> Text:
    text = Text(state, style=_STATES.get(state, ""))
    if restarts:
        text.append(f" ({restarts} restart{'s' if restarts > 1 else ''})", style="yellow")
    return text


def history_table(lines: Sequence[RevisionLine]) -> Listing:
    """Newest first: revision, when, who, what differs, why."""
    rows = []
    for line in lines:
        what = "\n".join(_what(each) for each in line.differences)
        rows.append((line.revision, _when(line.at), clean(line.by), what or "-", clean(line.why)))
    return Listing(("revision", "when", "by", "what", "why"), rows, words=True)


def releases_table(lines: Sequence[ReleaseLine]) -> Listing:
    """Newest first: component, release, commit, when, who, where it is pinned."""
    rows = []
    for line in lines:
        commit = line.commit[:10] + ("+" if line.dirty and line.commit else "") or "-"
        built = "here" if line.built else "-"
        where = ", ".join(line.pinned) or "-"
        rows.append((line.component, line.release, commit, _when(line.at), clean(line.by), where, built))
    return Listing(("component", "release", "commit", "when", "by", "pinned in", "artifact"), rows)


def released_table(made: Sequence[Released]) -> Listing:
    """What `release` made: component, release, whether it was built just now."""
    rows = []
    for each in made:
        built = f"in {each.seconds:.1f} s" if each.built else "was there"
        rows.append((each.release.component, short(each.release.digest), built, "dirty" if each.release.dirty else ""))
    return Listing(("component", "release", "built", ""), rows)


def pruned_table(pruned: Sequence[Pruned]) -> Listing:
    """What `prune` took away."""
    rows = [(each.component, each.release, clean(each.location)) for each in pruned]
    return Listing(("component", "release", "artifact"), rows)


def _what(difference: PinDifference) -> str:
    before, after = difference.before, difference.after
    if before != after:
        return f"{difference.component}: {before or '(none)'} → {after or '(none)'}"
    changed = []
    if difference.replicas_before != difference.replicas_after:
        changed.append(f"replicas {difference.replicas_before} → {difference.replicas_after}")
    if difference.settings_changed:
        changed.append("settings")
    if difference.env_changed:
        changed.append("environment variables")
    if difference.cluster_changed:
        changed.append("kubernetes")
    return f"{difference.component}: {', '.join(changed) or 'exposure'}"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
