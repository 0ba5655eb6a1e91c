"""A plan: the short form that `up` shows, and the full one of `plan`."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tidegate.app.explain import ChangeLine, ComponentLine, Difference, PlanView
from tidegate.cli.views.console import clean

_SIGNS = {"comes": ("+", "green"), "goes": ("-", "red"), "changes": ("~", "yellow"), "repaired": ("!", "magenta")}


def show_plan(console: Console, view: PlanView, *, full: bool) -> None:
    """Change by change; with `full` also every difference and every step."""
    for text in plan_lines(view, full=full):
        console.print(text, soft_wrap=True)


def plan_lines(view: PlanView, *, full: bool) -> list[Text]:
    """The lines of `show_plan`."""
    if not view.changes:
        return [Text(f"{view.environment}: nothing to do, it is as this checkout says.")]
    count = len(view.changes)
    base = f" on top of {view.parent}" if view.parent else ", its first"
    lines = [Text(f"{view.environment}: {count} change{'s' if count > 1 else ''}{base}", style="bold")]
    for number, change in enumerate(view.changes, 1):
        lines += _change(change, number, full=full, alone=count == 1)
    if view.unbuilt:
        lines.append(Text(f"  To be built first: {', '.join(view.unbuilt)}"))
    if view.elsewhere:
        lines.append(Text(f"  Not in this checkout, left as they are: {', '.join(view.elsewhere)}"))
    lines.append(Text(f"  Peak: {_peak(view)}"))
    irreversible = [text for change in view.changes for text in change.irreversible]
    if irreversible:
        lines += [Text(f"  Cannot be undone: {clean(text)}", style="bold red") for text in irreversible]
    else:
        lines.append(Text("  Everything here can be undone."))
    return lines


def _change(change: ChangeLine, number: int, *, full: bool, alone: bool) -> list[Text]:
    lines = []
    if full or not alone:
        goal = f"makes {change.revision}" if change.revision else "repairs, makes no revision"
        lines.append(Text(f"  Change {number}: {goal}", style="bold"))
    for component in change.components:
        lines.append(_component(component, full=full))
        if full:
            lines += [_difference(each) for each in component.differences]
    if full:
        lines.append(Text("    Steps:"))
        phase = ""
        numbers = {step.id: str(place) for place, step in enumerate(change.steps, 1)}
        for step in change.steps:
            shown = step.phase if step.phase != phase else ""
            phase = step.phase
            after = f"  (after {', '.join(numbers[each] for each in step.after)})" if step.after else ""
            lines.append(
                Text.assemble(
                    (f"      {shown:<8}", "cyan"), f"{numbers[step.id]:>3}  {clean(step.text)}", (after, "dim")
                )
            )
    return lines


def _component(line: ComponentLine, *, full: bool) -> Text:
    sign, style = _SIGNS[line.action]
    text = Text.assemble("    ", (f"{sign} {line.component}", style), f"  {line.action}")
    if line.why and line.action in {"changes", "repaired"}:
        text.append(f": {clean('; '.join(line.why))}")
    elif not full:
        release = next((each.after or each.before for each in line.differences if each.what == "release"), "")
        text.append(f"  {release}" if release else "", style="dim")
    return text


def _difference(each: Difference) -> Text:
    before, after = clean(each.before) or "(none)", clean(each.after) or "(none)"
    return Text.assemble(f"        {clean(each.what)}: ", (before, "red"), " → ", (after, "green"))


def _peak(view: PlanView) -> str:
    if not view.peak_instances:
        return "no extra process"
    text = f"{view.peak_instances} process{'es' if view.peak_instances > 1 else ''} beside what runs now"
    if view.peak_memory:
        text += f", about {max(1, round(view.peak_memory / 2**20))} MiB"
    if view.unmeasured:
        known = "of them " if view.peak_memory else ""
        text += f" (memory {known}not measured yet: {view.unmeasured})"
    return text
