"""A plan: the short form that `up` shows, and the full one of `plan`."""

from __future__ import annotations

from collections.abc import Sequence, Set

from rich.console import Console
from rich.text import Text

from tidegate.app.explain import ChangeLine, ComponentLine, Difference, Interruption, PlanView
from tidegate.cli.views.console import clean

_SIGNS = {"comes": ("+", "green"), "goes": ("-", "red"), "changes": ("~", "yellow"), "repaired": ("!", "magenta")}


def show_plan(console: Console, view: PlanView, *, full: bool, destroys: bool = False) -> None:
    """Change by change; with `full` also every difference and every step. `destroys`: something that is no part of the
    plan goes for ever, so it does not say that everything can be undone."""
    for text in plan_lines(view, full=full, destroys=destroys):
        console.print(text, soft_wrap=True)


def plan_lines(view: PlanView, *, full: bool, destroys: bool = False) -> list[Text]:
    """The lines of `show_plan`."""
    if not view.changes:
        return [Text(f"{view.environment}: nothing to do, it is as this checkout says.")]
    count = len(view.changes)
    base = f" on top of {view.parent}" if view.parent else ", its first"
    lines = [Text(f"{view.environment}: {count} change{'s' if count > 1 else ''}{base}", style="bold")]
    said: set[str] = set()  # resources, which several changes may use
    for number, change in enumerate(view.changes, 1):
        before = [str(place) for place, other in enumerate(view.changes, 1) if other.turn == change.turn - 1]
        lines += _change(change, number, before, said, full=full, alone=count == 1)
        said.update(change.provides)
    if view.unbuilt:
        lines.append(Text(f"  To be built first: {', '.join(view.unbuilt)}"))
    if view.elsewhere:
        lines.append(Text(f"  Not in this checkout, left as they are: {', '.join(view.elsewhere)}"))
    lines += [Text(f"  {note}", style="yellow") for note in view.notes]
    lines.append(Text(f"  Peak: {_peak(view)}"))
    irreversible = [text for change in view.changes for text in change.irreversible]
    if irreversible:
        lines += [Text(f"  Cannot be undone: {clean(text)}", style="bold red") for text in irreversible]
    elif not destroys:
        lines.append(Text("  Everything here can be undone."))
    return lines


def _change(
    change: ChangeLine, number: int, before: Sequence[str], said: Set[str], *, full: bool, alone: bool
) -> list[Text]:
    lines = []
    if full or not alone:
        goal = f"makes {change.revision}" if change.revision else "repairs, makes no revision"
        turn = f"; begins when change {' and '.join(before)} ended" if before else ""
        lines.append(Text(f"  Change {number}: {goal}{turn}", style="bold"))
    for component in change.components:
        lines.append(_component(component, full=full))
        if full:
            lines += [_difference(each) for each in component.differences]
    lines += [
        Text.assemble("    ", (f"+ {name}", "green"), "  is started: a resource of the environment")
        for name in change.provides
        if name not in said
    ]
    lines += [
        Text.assemble("    ", (f"- {name}", "red"), "  is stopped: no component uses this resource any more")
        for name in change.withdraws
    ]
    lines += [_interruption(each) for each in change.interruptions]
    if change.waves > 1:
        lines.append(
            Text(
                f"    In {change.waves} waves: at most {_instances(change.peak_instances)} beside what runs; between "
                "waves old and new meet.",
                style="yellow",
            )
        )
    return [*lines, *_steps(change)] if full else lines


def _steps(change: ChangeLine) -> list[Text]:
    lines = []
    before: tuple[int, str] | None = None
    numbers = {step.id: str(place) for place, step in enumerate(change.steps, 1)}
    for step in change.steps:
        if before is None or step.wave != before[0]:
            lines.append(Text(f"    Steps of wave {step.wave + 1}:" if change.waves > 1 else "    Steps:"))
        shown = "" if (step.wave, step.phase) == before else step.phase
        before = step.wave, step.phase
        after = f"  (after {', '.join(numbers[each] for each in step.after)})" if step.after else ""
        lines.append(
            Text.assemble((f"      {shown:<8}", "cyan"), f"{numbers[step.id]:>3}  {clean(step.text)}", (after, "dim"))
        )
    return lines


def _interruption(each: Interruption) -> Text:
    lasted = "never measured" if each.seconds is None else f"{each.seconds:.1f} s the last time"
    return Text(f"    {each.component} is interrupted ({lasted})", style="yellow")


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"


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
