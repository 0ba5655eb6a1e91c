"""Tables: status, history, releases, what was built, what was pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from tidegate.app.inspect import ComponentStatus, EnvironmentStatus, PinDifference, ReleaseLine, RevisionLine
from tidegate.app.prune import Pruned
from tidegate.app.release import Released
from tidegate.cli.views.console import clean
from tidegate.cli.views.listing import Listing
from tidegate.model.digest import short
from tidegate.model.holder import holder_in_words

_STATES = {
    "running": "green",
    "moving": "cyan",
    "degraded": "yellow",
    "crash-looping": "bold red",
    "absent": "red",
    "unpinned": "magenta",
}


def environment_lines(status: EnvironmentStatus) -> list[Text | Listing]:
    """One environment: its heading, what is wrong with it, its components."""
    head = Text.assemble((status.environment, "bold"), f"  {status.revision or 'never brought up'}")
    lines: list[Text | Listing] = [head]
    if status.problem:
        lines.append(Text(f"  cannot be seen: {clean(status.problem)}", style="bold red"))
    for claim in status.claims:
        names = ", ".join(claim.components)
        hint = f"if that is gone: tidegate recover {status.environment}"
        lines.append(
            Text(f"  {names}: being changed by {clean(holder_in_words(claim.holder))}; {hint}", style="yellow")
        )
    if status.components:
        lines.append(components_table(status.components))
    elif status.revision and not status.problem:
        lines.append(Text("  nothing runs here"))
    return lines


def components_table(components: Sequence[ComponentStatus]) -> Listing:
    """Component, state, release, healthy instances, address."""
    rows: list[Sequence[str | Text]] = []
    for each in components:
        state = Text(each.state, style=_STATES.get(each.state, ""))
        restarts = sum(instance.restarts for instance in each.instances)
        if restarts:
            state.append(f" ({restarts} restart{'s' if restarts > 1 else ''})", style="yellow")
        release = each.release + (" dirty" if each.dirty and each.commit else "")
        rows.append((each.component, state, release, f"{each.healthy}/{each.replicas}", each.address))
    return Listing(("component", "state", "release", "healthy", "address"), rows)


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
    return f"{difference.component}: {', '.join(changed) or 'exposure'}"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
