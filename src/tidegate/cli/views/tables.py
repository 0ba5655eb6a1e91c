"""Tables: status, history, releases, what was built, what was pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from tidegate.app.inspect import ComponentStatus, EnvironmentStatus, PinDifference, ReleaseLine, RevisionLine
from tidegate.app.prune import Pruned
from tidegate.app.release import Released
from tidegate.cli.views.console import clean
from tidegate.model.digest import short

_STATES = {
    "running": "green",
    "moving": "cyan",
    "degraded": "yellow",
    "crash-looping": "bold red",
    "absent": "red",
    "unpinned": "magenta",
}


def environment_lines(status: EnvironmentStatus) -> list[Text | Table]:
    """One environment: its heading, what is wrong with it, its components."""
    head = Text.assemble((status.environment, "bold"), f"  {status.revision or 'never brought up'}")
    lines: list[Text | Table] = [head]
    if status.problem:
        lines.append(Text(f"  cannot be seen: {clean(status.problem)}", style="bold red"))
    for claim in status.claims:
        names = ", ".join(claim.components)
        hint = f"if that is gone: tidegate recover {status.environment}"
        lines.append(Text(f"  {names}: being changed by {clean(claim.holder)}; {hint}", style="yellow"))
    if status.components:
        lines.append(components_table(status.components))
    elif status.revision and not status.problem:
        lines.append(Text("  nothing runs here"))
    return lines


def components_table(components: Sequence[ComponentStatus]) -> Table:
    """Component, state, release, healthy instances, address."""
    table = _table("component", "state", "release", "healthy", "address")
    for each in components:
        state = Text(each.state, style=_STATES.get(each.state, ""))
        restarts = sum(instance.restarts for instance in each.instances)
        if restarts:
            state.append(f" ({restarts} restart{'s' if restarts > 1 else ''})", style="yellow")
        release = each.release + (" dirty" if each.dirty and each.commit else "")
        table.add_row(each.component, state, release, f"{each.healthy}/{each.replicas}", each.address)
    return table


def history_table(lines: Sequence[RevisionLine]) -> Table:
    """Newest first: revision, when, who, what differs, why."""
    table = _table("revision", "when", "by", "what", "why")
    for line in lines:
        what = "\n".join(_what(each) for each in line.differences)
        table.add_row(line.revision, _when(line.at), clean(line.by), what or "-", clean(line.why))
    return table


def releases_table(lines: Sequence[ReleaseLine]) -> Table:
    """Newest first: component, release, commit, when, who, where it is pinned."""
    table = _table("component", "release", "commit", "when", "by", "pinned in", "artifact")
    for line in lines:
        commit = line.commit[:10] + ("+" if line.dirty and line.commit else "") or "-"
        built = "here" if line.built else "-"
        where = ", ".join(line.pinned) or "-"
        table.add_row(line.component, line.release, commit, _when(line.at), clean(line.by), where, built)
    return table


def released_table(made: Sequence[Released]) -> Table:
    """What `release` made: component, release, whether it was built just now."""
    table = _table("component", "release", "built", "")
    for each in made:
        built = f"in {each.seconds:.1f} s" if each.built else "was there"
        table.add_row(each.release.component, short(each.release.digest), built, "dirty" if each.release.dirty else "")
    return table


def pruned_table(pruned: Sequence[Pruned]) -> Table:
    """What `prune` took away."""
    table = _table("component", "release", "artifact")
    for each in pruned:
        table.add_row(each.component, each.release, clean(each.location))
    return table


_WHOLE = {"component", "state", "release", "revision", "healthy", "when", "what", "commit"}  # columns never folded


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    return table


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
